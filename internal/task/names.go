// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
)

// Name is the runtime name of the containers that the daemon runs itself.
const Name = "io.containerd.sardine.v1"

// runcName is what containerd's clients ask for unless told otherwise.
const runcName = "io.containerd.runc.v2"

// Who runs containers of the name io.containerd.runc.v2: Config.StockRunc.
const (
	stockAuto    = "auto"    // the shim if it is installed
	stockShim    = "shim"    // always the shim
	stockSardine = "sardine" // always the daemon itself
)

// names decides by runtime name who runs a container.
type names struct{ stockRunc string }

func newNames(stockRunc string) (names, error) {
	switch stockRunc {
	case stockAuto, stockShim, stockSardine:
		return names{stockRunc}, nil
	case "":
		return names{stockAuto}, nil
	}
	return names{}, fmt.Errorf("stock_runc = %q: want %q, %q or %q: %w", stockRunc, stockAuto, stockShim, stockSardine, errdefs.ErrInvalidArgument)
}

// ours reports whether the daemon runs containers of this runtime itself. A name that
// nobody answers to is an error: the shim manager's own would only say that a file does
// not exist.
func (n names) ours(runtime string) (bool, error) {
	switch {
	case runtime == "", runtime == Name:
		return true, nil
	case runtime == runcName && n.stockRunc == stockSardine:
		return true, nil
	}
	if filepath.IsAbs(runtime) {
		return false, nil
	}
	binary := shim.BinaryName(runtime)
	if binary == "" {
		return false, fmt.Errorf("runtime %q: want %s, the name of an installed shim such as %s, or the absolute path of one: %w",
			runtime, Name, runcName, errdefs.ErrInvalidArgument)
	}
	if installed(binary) {
		return false, nil
	}
	if runtime == runcName && n.stockRunc == stockAuto {
		return true, nil
	}
	return false, fmt.Errorf("runtime %q: %s is neither in $PATH nor beside the daemon; without a shim there is %s: %w",
		runtime, binary, Name, errdefs.ErrNotFound)
}

// installed looks where the shim manager does.
func installed(binary string) bool {
	if _, err := exec.LookPath(binary); err == nil {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(filepath.Dir(self), binary))
	return err == nil
}
