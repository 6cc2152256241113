// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/testnode"
)

// loggingProgram writes a script that logs like one built with containerd's package.
func loggingProgram(t *testing.T, script string) (uri, dir string) {
	t.Helper()
	dir = t.TempDir()
	program := filepath.Join(dir, "logger")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nPATH=/bin:/usr/bin\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return "binary://" + program, dir
}

func TestLogger(t *testing.T) {
	uri, dir := loggingProgram(t, `dir=$2
env | grep ^CONTAINER | sort >$dir/env
echo "$@" >$dir/args
cat <&3 >$dir/out & cat <&4 >$dir/err &
exec 3<&- 4<&-; echo -n r >&5; exec 5>&-
wait`)
	s := open(t, Config{Stdout: uri + "?dir=" + dir + "&flag", Stderr: "ignored"})
	if err := program(t, s, "echo hello; echo problem >&2").Wait(); err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
	for name, want := range map[string]string{
		"env": "CONTAINER_ID=box\nCONTAINER_NAMESPACE=space\n", "args": "dir " + dir + " flag \n",
		"out": "hello\n", "err": "problem\n",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v; want %q", name, text, err, want)
		}
	}
}

// TestLoggerReadiness: version 2 of the protocol tells a crash from readiness.
func TestLoggerReadiness(t *testing.T) {
	uri, _ := loggingProgram(t, "exit 0")
	open(t, Config{Stdout: uri})
	_, err := Open(t.Context(), Config{Stdout: strings.Replace(uri, "binary:", "binary-v2:", 1)}, Options{Reap: reapByWait})
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "without saying that it is ready") {
		t.Errorf("a program that ends at once: %v", err)
	}
}

func TestLoggerNeverReady(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	uri, _ := loggingProgram(t, "exec sleep 100")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Config{Stdout: uri}, Options{Reap: reapByWait})
	if err == nil || !strings.Contains(err.Error(), "wait until it is ready") {
		t.Errorf("a program that is never ready: %v", err)
	}
}

// TestLoggerIsEnded: one that does not end with its input gets SIGTERM.
func TestLoggerIsEnded(t *testing.T) {
	uri, dir := loggingProgram(t, `dir=$2
trap 'echo term >$dir/log; exit' TERM
exec 5>&-
while :; do sleep 0.05; done`)
	s := open(t, Config{Stdout: uri + "?dir=" + dir})
	s.Close(t.Context())
	if text, _ := os.ReadFile(filepath.Join(dir, "log")); string(text) != "term\n" {
		t.Errorf("the program was not told to end: %q", text)
	}
}

func TestLoggerWithoutReaper(t *testing.T) {
	if _, err := Open(t.Context(), Config{Stdout: "binary:///bin/true"}, Options{}); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
}
