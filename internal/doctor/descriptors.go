// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

const (
	// unitName is that of the unit which make install puts in place.
	unitName = "sardined.service"
	// unitPatience bounds the wait for systemd's answers.
	unitPatience = 20 * time.Second
)

// unit is what systemd says of the daemon's.
type unit struct {
	found    bool
	max      uint64 // FileDescriptorStoreMax=
	files    uint64 // soft limit of LimitNOFILE=; the daemon stores half as many at most
	preserve string // FileDescriptorStorePreserve=; empty before systemd 254
}

// errNoSystemd says that another process is the first.
var errNoSystemd = errors.New("systemd does not run here")

// descriptorStore says who keeps what containers' streams hang on while sardined is down.
func descriptorStore() []Finding {
	u, err := askUnit(unitName)
	return storeFindings(u, err)
}

func storeFindings(u unit, err error) []Finding {
	f := Finding{Name: "descriptor store", Verdict: OK, Lost: "terminals, and output that nobody has read yet, are lost when sardined restarts"}
	const ours = "a process that sardined starts keeps them: "
	switch {
	case errors.Is(err, errNoSystemd):
		f.Detail = ours + err.Error()
	case err != nil:
		f = f.unknown(err)
	case !u.found:
		f.Detail = ours + "there is no unit " + unitName
	case u.max == 0:
		f.Verdict, f.Lost = Info, ""
		f.Detail, f.Advice = ours+"FileDescriptorStoreMax=0 in "+unitName, "FileDescriptorStoreMax=8192 in the unit"
	default:
		const want = 4096
		most := min(u.max, u.files/2)
		f.Detail = fmt.Sprintf("systemd keeps %d at most", most)
		f.Advice = "FileDescriptorStoreMax=8192 and LimitNOFILE=16384:1048576 in the unit: systemd starts none with more than its soft limit"
		return []Finding{f.atLeast(most, want), u.preserved()}
	}
	return []Finding{f}
}

// preserved says what happens when the unit is stopped.
func (u unit) preserved() Finding {
	f := Finding{Name: "kept over a stop", Lost: "terminals, and output that nobody has read yet, when sardined is stopped and not restarted"}
	switch u.preserve {
	case "yes":
		f.Verdict, f.Detail = OK, "FileDescriptorStorePreserve=yes"
	case "":
		f.Verdict, f.Detail, f.Advice = Info, "systemd drops them when the unit is stopped, not when it is restarted or crashes", "systemd 254"
	default:
		f.Verdict, f.Detail, f.Advice = Info, "FileDescriptorStorePreserve="+u.preserve, "FileDescriptorStorePreserve=yes in the unit"
	}
	return f
}

// askUnit asks systemd on its own socket, which is there without a message bus.
func askUnit(name string) (unit, error) {
	if _, err := os.Stat("/run/systemd/system"); errors.Is(err, fs.ErrNotExist) { // sd_booted(3)
		return unit{}, errNoSystemd
	}
	ctx, cancel := context.WithTimeout(context.Background(), unitPatience)
	defer cancel()
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return unit{}, fmt.Errorf("ask systemd: %w", err)
	}
	defer conn.Close()
	state, err := conn.GetUnitPropertyContext(ctx, name, "LoadState")
	if err != nil {
		return unit{}, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	u := unit{found: state.Value.Value() == "loaded"}
	size, errSize := conn.GetServicePropertyContext(ctx, name, "FileDescriptorStoreMax")
	files, errFiles := conn.GetServicePropertyContext(ctx, name, "LimitNOFILESoft")
	if err := errors.Join(errSize, errFiles); err != nil {
		return unit{}, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	most, _ := size.Value.Value().(uint32)
	u.max = uint64(most)
	u.files, _ = files.Value.Value().(uint64)
	// Unknown before version 254.
	if preserve, err := conn.GetServicePropertyContext(ctx, name, "FileDescriptorStorePreserve"); err == nil {
		u.preserve, _ = preserve.Value.Value().(string)
	}
	return u, nil
}
