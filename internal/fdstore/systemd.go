// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	// mostPassed is the number of keys, each with a colon, that fit into the one variable that
	// names them, see keyOf. A unit with more in its store could not be started.
	mostPassed = uint64(128<<10-len("LISTEN_FDNAMES=")-1) / (keyLength + 1)
	// usualFiles is the soft limit of open files that systemd gives to units that say nothing of it.
	usualFiles = 1024
	// busPatience bounds the question to systemd, which may be busy.
	busPatience = 20 * time.Second
)

// systemdKeeper is the store of the unit whose main process this is. The error says why there is none.
func (s *Store) systemdKeeper(ctx context.Context) (*keeper, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return nil, errors.New("systemd did not start this process as a service of Type=notify ($NOTIFY_SOCKET)")
	}
	// Without it, systemd before 248, nobody can tell.
	if pid := os.Getenv("SYSTEMD_EXEC_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("systemd takes descriptors from the main process of a service only, which is %s", pid)
	}
	limits, err := s.unitLimits(ctx)
	if err != nil {
		return nil, err
	}
	k := notified()
	k.max = limits.max()
	if k.max <= 0 {
		return nil, fmt.Errorf("the unit has FileDescriptorStoreMax=%d and the soft limit of LimitNOFILE= is %d", limits.store, limits.files)
	}
	if k.max < int(min(limits.store, mostPassed)) {
		s.log.Warn("the unit's soft limit of open files (LimitNOFILE=) lets systemd start it with fewer descriptors than FileDescriptorStoreMax=",
			"limit", limits.files, "store", limits.store)
	}
	return k, nil
}

// notified is systemd, with a store or not.
func notified() *keeper {
	path := os.Getenv("NOTIFY_SOCKET")
	return newKeeper(Systemd, func() (int, error) { return kernel.DialDatagram(path) })
}

// unitLimits are those of a unit that bound its store.
type unitLimits struct {
	store uint64 // FileDescriptorStoreMax=
	files uint64 // soft limit of LimitNOFILE=
}

// max is the number of descriptors that can be in the store. systemd sets the limits of a process
// before it sorts the descriptors for it, its own among them: with too many for the soft limit of
// open files the unit cannot be started any more. Half of the limit is left to systemd.
func (l unitLimits) max() int { return int(min(l.store, l.files/2, mostPassed)) }

// unitLimits asks systemd. Since version 254 it says how large the store is in a variable, too.
func (s *Store) unitLimits(ctx context.Context) (unitLimits, error) {
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	limits, err := askUnitLimits(ctx)
	size, errSize := strconv.ParseUint(os.Getenv("FDSTORE"), 10, 32)
	if errSize == nil {
		limits.store = size
	}
	switch {
	case err == nil:
	case errSize != nil:
		return limits, fmt.Errorf("ask systemd for the unit's FileDescriptorStoreMax: %w", err)
	default:
		limits.files = usualFiles
		s.log.Warn("the unit's limit of open files is not known, and taken for the usual one", "error", err)
	}
	return limits, nil
}

// askUnitLimits asks on systemd's own socket, which is there without a message bus.
func askUnitLimits(ctx context.Context) (l unitLimits, err error) {
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return l, err
	}
	defer conn.Close()
	unit, err := conn.GetUnitNameByPID(ctx, uint32(os.Getpid()))
	if err != nil {
		return l, err
	}
	for name, value := range map[string]*uint64{"FileDescriptorStoreMax": &l.store, "LimitNOFILESoft": &l.files} {
		property, err := conn.GetServicePropertyContext(ctx, unit, name)
		if err != nil {
			return l, err
		}
		switch v := property.Value.Value().(type) {
		case uint32:
			*value = uint64(v)
		case uint64:
			*value = v
		default:
			return l, fmt.Errorf("%s is %s", name, property.Value)
		}
	}
	return l, nil
}
