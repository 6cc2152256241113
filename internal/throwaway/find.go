// SPDX-License-Identifier: Apache-2.0

package throwaway

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// Find looks for a binary next to the running executable, where make and
// packages put all of them, then in PATH. The error says where it looked.
func Find(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return findBeside(filepath.Dir(self), name)
}

func findBeside(dir, name string) (string, error) {
	beside := filepath.Join(dir, name)
	if found, err := exec.LookPath(beside); err == nil {
		return found, nil
	}
	if found, err := exec.LookPath(name); err == nil {
		return filepath.Abs(found)
	}
	return "", fmt.Errorf("%s is neither at %s nor in PATH (%s); build it with make, or install it: %w",
		name, beside, os.Getenv("PATH"), errdefs.ErrNotFound)
}
