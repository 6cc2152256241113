// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const tracee = "SARDINE_EXITS_TRACEE"

// TestChildHeldByDebugger: the pidfd of a process that a debugger looks at becomes readable
// when it ends, but its parent cannot reap it until the debugger has.
func TestChildHeldByDebugger(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, "")
	child := shell(t, "exit 17")
	letGo := startDebugger(t, child.Pid)
	reported := newOutcome()
	if err := w.Watch(child.Child, reported.call); err != nil {
		t.Fatal(err)
	}
	child.release.Close()
	awaitZombie(t, child.Identity)
	select {
	case s := <-reported:
		t.Fatalf("reported while the debugger held it: %+v", s)
	case <-time.After(50 * time.Millisecond):
	}
	letGo()
	if got := reported.one(t); got.Code != 17 || got.Source != SourceWaitid {
		t.Errorf("got %+v, want code 17", got)
	}
}

// startDebugger traces pid with another process, which takes notice of its end only in letGo.
func startDebugger(t *testing.T, pid int) (letGo func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), tracee+"="+strconv.Itoa(pid))
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "attached\n" {
		t.Skipf("cannot trace here: %q, %v", line, err)
	}
	return func() { stdin.Close() }
}

// TestMain turns the test program into the debugger where startDebugger has started it.
func TestMain(m *testing.M) {
	if pid, err := strconv.Atoi(os.Getenv(tracee)); err == nil {
		if err := debug(pid); err != nil {
			fmt.Println(err)
		}
		return
	}
	os.Exit(m.Run())
}

// debug traces pid until stdin ends, and then lets it be reaped.
func debug(pid int) error {
	runtime.LockOSThread() // a tracer is a thread
	if err := unix.PtraceSeize(pid); err != nil {
		return err
	}
	fmt.Println("attached")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_, err := unix.Wait4(pid, nil, unix.WALL, nil)
	return err
}
