// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestLogFile(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	log := filepath.Join(d.Dir, "logs", "below", "log")
	for _, word := range []string{"one", "two"} {
		c := newContainer(t, d, ref, word, oci.WithProcessArgs("sh", "-c", "echo "+word+"; echo problem >&2"))
		task := newTask(t, d, c, cio.LogFile(log))
		startProcess(t, d, task)
		waitProcess(t, d, task)
		deleteTask(t, d, task)
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "one\nproblem\ntwo\nproblem\n" {
		t.Errorf("the log holds %q, %v", text, err)
	}
}

// TestLogProgram runs the same logging program with our runtime and with containerd's shim.
func TestLogProgram(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		program := filepath.Join(d.Dir, "logger")
		script := `#!/bin/sh
PATH=/bin:/usr/bin
echo "$CONTAINER_NAMESPACE $CONTAINER_ID $1 $2" >$2/words
cat <&3 >$2/out 5>&- & cat <&4 >$2/err 5>&- &
exec 3<&- 4<&-; echo -n r >&5; exec 5>&-
trap : TERM
wait; wait`
		if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		c := newContainer(t, d, ref, "one", oci.WithProcessArgs("sh", "-c", "echo hello; echo problem >&2"))
		task := newTask(t, d, c, cio.BinaryIO(program, map[string]string{"dir": d.Dir}))
		startProcess(t, d, task)
		waitProcess(t, d, task)
		deleteTask(t, d, task)
		for name, want := range map[string]string{
			"words": d.Namespace + " one dir " + d.Dir + "\n", "out": "hello\n", "err": "problem\n",
		} {
			path := filepath.Join(d.Dir, name)
			testnode.Eventually(t, name+" is written", func() bool { text, _ := os.ReadFile(path); return string(text) == want })
		}
	})
}

func TestBadLogURI(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	for uri, want := range map[string]string{
		"gopher:///x": "unknown scheme", "file://host/x": "absolute path", "binary:///nowhere": "/nowhere",
	} {
		_, err := d.Ctr(d.RunArgs("--rm", "--log-uri", uri, ref, "c", "true")...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--log-uri %s: %v, want an error with %q", uri, err, want)
		}
		_, _ = d.Ctr("containers", "rm", "c")
	}
}

// TestOwnOutput: a program with another user can open its own output by name.
func TestOwnOutput(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	out, err := d.Ctr(d.RunArgs("--rm", "--user", "user", ref, "c", "sh", "-c", "echo again >/proc/self/fd/1")...)
	if err != nil || out != "again\n" {
		t.Errorf("output: %q, %v", out, err)
	}
}

// TestTerminal talks with a shell on a terminal, of a task and of an exec.
func TestTerminal(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		in, typed := io.Pipe()
		var out lockedBuffer
		c := newContainer(t, d, ref, "one", oci.WithTTY, oci.WithProcessArgs("sh", "-c", "read word; stty size; echo got $word; read rest"))
		task := newTask(t, d, c, cio.NewCreator(cio.WithStreams(in, &out, nil), cio.WithTerminal, cio.WithFIFODir(d.Dir+"/fifo")))
		startProcess(t, d, task)
		must(t, task.Resize(d.Context(), 132, 43))
		if _, err := io.WriteString(typed, "hello\n"); err != nil {
			t.Fatal(err)
		}
		testnode.Eventually(t, "the shell answers", func() bool { return strings.Contains(out.String(), "43 132\r\ngot hello\r\n") })
		terminalExec(t, d, task)
		must(t, task.Kill(d.Context(), syscall.SIGKILL))
		waitProcess(t, d, task)
		typed.Close()
		deleteTask(t, d, task)
	})
}

func terminalExec(t *testing.T, d *Daemon, task containerd.Task) {
	t.Helper()
	in, typed := io.Pipe()
	var out lockedBuffer
	process := shell("tty; read word; stty size; echo got $word")
	process.Terminal = true
	process.ConsoleSize = &specs.Box{Width: 100, Height: 30}
	exec, err := task.Exec(d.Context(), "e", process,
		cio.NewCreator(cio.WithStreams(in, &out, nil), cio.WithTerminal, cio.WithFIFODir(d.Dir+"/fifo")))
	if err != nil {
		t.Fatal(err)
	}
	startProcess(t, d, exec)
	testnode.Eventually(t, "the terminal is named", func() bool { return strings.Contains(out.String(), "/dev/pts/") })
	if _, err := io.WriteString(typed, "there\n"); err != nil {
		t.Fatal(err)
	}
	if code := waitProcess(t, d, exec); code != 0 {
		t.Errorf("exit status %d", code)
	}
	typed.Close()
	exec.IO().Wait() // Delete stops reading
	if _, err := exec.Delete(d.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "30 100\r\ngot there\r\n") {
		t.Errorf("the terminal showed %q", out.String())
	}
}
