// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// BinDir is where make puts the programs: SARDINE_BIN_DIR, or bin/ of the
// repository, two levels above the directory go test runs a test in.
func BinDir() string {
	if dir := os.Getenv("SARDINE_BIN_DIR"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "bin")
}

// Program returns the absolute path of a program made by "make all tools": one
// of ours, or a peer's. One given by its absolute path is taken as it is.
func Program(t testing.TB, name string) string {
	t.Helper()
	if filepath.IsAbs(name) {
		return name
	}
	for _, dir := range []string{BinDir(), filepath.Join(BinDir(), "tools")} {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	testnode.Unavailable(t, name+" is not in "+BinDir()+": run make all tools")
	return ""
}

// busybox returns the path of a static busybox.
func busybox(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		testnode.Unavailable(t, "no busybox: run make deps")
	}
	return path
}

// environment is the test's own, with the peers' programs findable, and
// without a warning on every command on machines with cgroup v1.
func environment() []string {
	tools, err := filepath.Abs(filepath.Join(BinDir(), "tools"))
	if err != nil {
		tools = BinDir()
	}
	return append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1")
}
