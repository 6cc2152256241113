// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sardine-run/sardine/internal/throwaway"
)

// programs looks for our own binaries and for the runtimes of others.
func (o Options) programs() []Finding {
	daemon, err := o.findDaemon()
	sardined := Finding{Name: "sardined", Required: true, Lost: "there is nothing to run", Advice: "make install"}
	return []Finding{
		sardined.found(daemon, err),
		initBeside(daemon),
		stockRuntime(),
	}
}

func (o Options) findDaemon() (string, error) {
	if o.Daemon == "" {
		return throwaway.Find("sardined")
	}
	_, err := exec.LookPath(o.Daemon)
	return o.Daemon, err
}

// initBeside looks for sardine-init where sardined does.
func initBeside(daemon string) Finding {
	f := Finding{Name: "sardine-init", Required: true,
		Lost:   "containers cannot be started",
		Advice: "make install, or name its path in the configuration of sardined"}
	if daemon == "" {
		return f.found("", errors.New("looked for beside sardined, which was not found"))
	}
	path := filepath.Join(filepath.Dir(daemon), "sardine-init")
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is not an executable file", path)
	}
	return f.found(path, err)
}

// stockRuntime says who runs containers of the runtime that other tools ask for.
func stockRuntime() Finding {
	f := Finding{Name: "io.containerd.runc.v2", Verdict: Info}
	const shim = "containerd-shim-runc-v2"
	path, err := exec.LookPath(shim)
	if err != nil {
		f.Detail = "no " + shim + " in PATH: sardined runs these containers itself"
		return f
	}
	f.Detail = "containers that ask for it go to " + path
	if _, err := exec.LookPath("runc"); err != nil {
		f.Verdict = Missing
		f.Detail += ", but there is no runc in PATH"
		f.Lost = "these containers cannot be started"
		f.Advice = "install runc, or remove the shim so that sardined runs them itself"
	}
	return f
}
