// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// previous is the release to come from.
//
//go:embed previous
var previous string

// buildPrevious returns the path of the previous release's daemon, which has its sardine-init beside it.
func buildPrevious(t *testing.T) string {
	t.Helper()
	testnode.NeedRoot(t)
	words := strings.Fields(previous)
	if len(words) != 2 {
		t.Fatalf("the file previous is %q, want a commit and a version", previous)
	}
	commit, version := words[0], words[1]
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("git", "-C", top, "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		t.Skipf("the commit %s of release %s is not in this clone: git fetch --unshallow", commit, version)
	}
	dir := filepath.Join(top, ".cache", "previous", commit)
	daemon := filepath.Join(dir, "bin", "sardined")
	if !isRelease(daemon, version) {
		checkOut(t, top, commit, dir)
		run(t, exec.Command("make", "-C", dir, "bin/sardined", "bin/sardine-init"))
	}
	if !isRelease(daemon, version) {
		t.Fatalf("%s is not of release %s", daemon, version)
	}
	return daemon
}

// checkOut puts the sources of a commit into dir.
func checkOut(t *testing.T, top, commit, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "previous.tar")
	run(t, exec.Command("git", "-C", top, "archive", "--output", archive, commit))
	run(t, exec.Command("tar", "-x", "-f", archive, "-C", dir))
}

// isRelease tells whether a daemon was built to its end, and is of a version.
func isRelease(daemon, version string) bool {
	if _, err := os.Stat(filepath.Join(filepath.Dir(daemon), "sardine-init")); err != nil {
		return false
	}
	out, err := exec.Command(daemon, "--version").Output()
	return err == nil && strings.Contains(string(out), version)
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	// Our own make, if there is one, has told its children what it was told.
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "MAKE") && !strings.HasPrefix(kv, "MFLAGS") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}
