// SPDX-License-Identifier: Apache-2.0

package throwaway

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestFind(t *testing.T) {
	beside, inPath := t.TempDir(), t.TempDir()
	t.Setenv("PATH", inPath)
	make := func(dir string) string {
		path := filepath.Join(dir, "sardined")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, err := findBeside(beside, "sardined")
	if !errors.Is(err, errdefs.ErrNotFound) || !strings.Contains(err.Error(), beside+"/sardined") || !strings.Contains(err.Error(), inPath) {
		t.Errorf("not there: got %v, want both places named", err)
	}
	want := make(inPath)
	if got, err := findBeside(beside, "sardined"); err != nil || got != want {
		t.Errorf("in PATH: got %s, %v; want %s", got, err, want)
	}
	want = make(beside)
	if got, err := findBeside(beside, "sardined"); err != nil || got != want {
		t.Errorf("in both: got %s, %v; want %s", got, err, want)
	}
}

func TestMountPointsBelow(t *testing.T) {
	const table = `1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 0:9 / /tmp/sardine-1/a rw - tmpfs tmpfs rw
3 1 0:9 / /tmp/sardine-12 rw - tmpfs tmpfs rw
4 2 0:9 / /tmp/sardine-1/a/b rw - tmpfs tmpfs rw
`
	if got, want := mountPointsBelow(table, "/tmp/sardine-1"), []string{"/tmp/sardine-1/a", "/tmp/sardine-1/a/b"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PATH", "/usr/bin")
	env := []string{"HOME=/root", "NOTIFY_SOCKET=/run/n", "LISTEN_FDS=1", "WATCHDOG_USEC=1", "PATH=/usr/bin"}
	if got, want := environment(env, ""), []string{"HOME=/root", "PATH=/usr/bin"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := environment(env, "/opt"); got[len(got)-1] != "PATH=/opt:/usr/bin" {
		t.Errorf("got %v", got)
	}
	if len(env) != 5 || env[1] != "NOTIFY_SOCKET=/run/n" {
		t.Errorf("the caller's slice was changed: %v", env)
	}
}

func TestStartReportsADaemonThatEnds(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	script := filepath.Join(t.TempDir(), "daemon")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no such luck >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), script, "")
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want the log and the status", err)
	}
	_, err = Start(t.Context(), filepath.Join(tmp, "missing"), "")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestRestart: a daemon that was killed runs again with the same arguments and
// environment, on the same directory, and Stop ends the second one.
func TestRestart(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	script := filepath.Join(t.TempDir(), "daemon")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho run with $* in $PATH\nexec sleep 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Dir: filepath.Join(tmp, "d"), exited: make(chan struct{})}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.start(script, "/opt", nil); err != nil {
		t.Fatal(err)
	}
	first := d.PID
	awaitLines(t, d, 1)
	d.Crash()
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	lines := awaitLines(t, d, 2)
	if lines[0] != lines[1] || !strings.Contains(lines[0], "/opt:") || d.PID == first {
		t.Errorf("processes %d and %d said %q", first, d.PID, lines)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stop left its directory: %v", err)
	}
}

// awaitLines waits until the daemon has logged so many lines.
func awaitLines(t *testing.T, d *Daemon, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		lines := strings.Split(d.LogTail(10), "\n")
		if len(lines) == n && lines[n-1] != "" {
			return lines
		}
		if time.Now().After(deadline) {
			t.Fatalf("logged %q, want %d lines", lines, n)
		}
	}
}
