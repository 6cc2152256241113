// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProgramKeepsLimits: what sardine-init sets for the start of its own runtime does not reach the program.
func TestProgramKeepsLimits(t *testing.T) {
	const script = "ulimit -Sn; ulimit -Hn; cat /proc/self/timerslack_ns"
	for _, soft := range []uint64{700, 1 << 10} {
		limitFiles(t, soft)
		want, err := exec.Command("/bin/sh", "-c", script).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := sh(t, script, nil); got != strings.TrimSpace(string(want)) {
			t.Errorf("limits of open files and timer slack:\n%s\nof a child of the daemon:\n%s", got, want)
		}
	}
}

// limitFiles sets the soft limit of open files, which Go's runtime has raised at its start.
func limitFiles(t *testing.T, soft uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(os.Getpid(), unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}
