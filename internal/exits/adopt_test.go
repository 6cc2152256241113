// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func itoa(n int) string { return strconv.Itoa(n) }

// orphan starts a process whose parent is dead: somebody else reaps it. It runs script once
// release is closed.
func orphan(t testing.TB, script string) (id Identity, release *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", `/bin/sh -c "$0" <&3 3<&- >/dev/null & echo $!; exit 0`, "read go; "+script)
	cmd.ExtraFiles = []*os.File{read}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if id, err = ReadIdentity(pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { write.Close() })
	return id, write
}

// awaitGone waits until id was reaped, by whoever adopts orphans here.
func awaitGone(t testing.TB, id Identity) {
	t.Helper()
	for deadline := time.Now().Add(testnode.Patience); id.runs(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Skipf("nobody reaps orphans in this environment: %v is still there", id)
		}
	}
}

func TestAdoptAfterParentDied(t *testing.T) {
	noLeaks(t)
	dir := bpffs(t)
	id, release := orphan(t, "exit 42")

	first := newWatcher(t, dir) // the daemon that started it
	if err := first.Adopt(id, nil, func(Status) { t.Error("the first daemon is dead") }); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	release.Close() // ends while no daemon runs
	awaitGone(t, id)

	second := newWatcher(t, dir)
	reported := newOutcome()
	if err := second.Adopt(id, nil, reported.call); err != nil {
		t.Fatal(err)
	}
	if got := reported.one(t); got.Code != 42 || got.Source != SourceBPF || time.Since(got.At) > testnode.Patience {
		t.Errorf("got %+v, want code 42 from bpf", got)
	}

	second.Forget(id)
	forgotten := newOutcome()
	if err := second.Adopt(id, nil, forgotten.call); err != nil {
		t.Fatal(err)
	}
	if got := forgotten.one(t); got.Code != CodeUnknown || got.Source != SourceUnknown || got.Reason == "" {
		t.Errorf("after Forget got %+v, want 255 with a reason", got)
	}
}

func TestAdoptRunningProcess(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, bpffs(t))
	id, release := orphan(t, "kill -TERM $$")
	reported := newOutcome()
	if err := w.Adopt(id, nil, reported.call); err != nil {
		t.Fatal(err)
	}
	release.Close()
	if got := reported.one(t); got.Code != 143 || got.Signal != syscall.SIGTERM || got.Source != SourceBPF {
		t.Errorf("got %+v, want SIGTERM from bpf", got)
	}
}

func TestAdoptWithoutBPF(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, "")
	t.Run("ends later", func(t *testing.T) {
		id, release := orphan(t, "exit 5")
		reported := newOutcome()
		if err := w.Adopt(id, nil, reported.call); err != nil {
			t.Fatal(err)
		}
		release.Close()
		got := reported.one(t)
		if !knowsExitByPidfd(t) && got.Source == SourceUnknown {
			t.Skip("kernel before 6.15: ", got.Reason)
		}
		if got.Code != 5 || (got.Source != SourcePidfd && got.Source != SourceProcfs) {
			t.Errorf("got %+v, want code 5 from pidfd or procfs", got)
		}
	})
	t.Run("has ended, pidfd kept", func(t *testing.T) {
		if !knowsExitByPidfd(t) {
			t.Skip("kernel before 6.15")
		}
		id, release := orphan(t, "exit 6")
		pidfd, err := openPidfd(id)
		if err != nil {
			t.Fatal(err)
		}
		release.Close()
		awaitGone(t, id)
		reported := newOutcome()
		if err := w.Adopt(id, pidfd, reported.call); err != nil {
			t.Fatal(err)
		}
		if got := reported.one(t); got.Code != 6 || got.Source != SourcePidfd {
			t.Errorf("got %+v, want code 6 from pidfd", got)
		}
	})
	t.Run("has ended, nothing kept", func(t *testing.T) {
		id, release := orphan(t, "exit 7")
		release.Close()
		awaitGone(t, id)
		reported := newOutcome()
		if err := w.Adopt(id, nil, reported.call); err != nil {
			t.Fatal(err)
		}
		got := reported.one(t)
		if got.Code != CodeUnknown || got.Source != SourceUnknown || !strings.Contains(got.Reason, "switched off") {
			t.Errorf("got %+v, want 255 with the reason", got)
		}
	})
}

func TestAdoptChildReapsIt(t *testing.T) {
	w := newWatcher(t, "")
	child := shell(t, "exit 8")
	reported := newOutcome()
	if err := w.Adopt(child.Identity, child.Pidfd, reported.call); err != nil {
		t.Fatal(err)
	}
	child.release.Close()
	if got := reported.one(t); got.Code != 8 || got.Source != SourceWaitid {
		t.Errorf("got %+v, want code 8 from waitid", got)
	}
	if child.runs() {
		t.Error("the child is still a zombie")
	}
}

func TestZombieIsReadFromProcfs(t *testing.T) {
	child := shell(t, "kill -HUP $$")
	defer child.Pidfd.Close()
	child.release.Close()
	awaitZombie(t, child.Identity)
	got, ok := fromKernel(child.Identity, int(child.Pidfd.Fd()))
	if !ok || got.Code != 129 || got.Source != SourceProcfs {
		t.Errorf("got %+v, %v, want code 129 from procfs", got, ok)
	}
	reap(t, child.Pid)
}

// knowsExitByPidfd probes for PIDFD_INFO_EXIT with a process of the test's own.
func knowsExitByPidfd(t testing.TB) bool {
	t.Helper()
	child := shell(t, "exit 1")
	defer child.Pidfd.Close()
	child.release.Close()
	reap(t, child.Pid)
	_, ok := fromPidfd(int(child.Pidfd.Fd()))
	return ok
}

func TestRecycledPidIsAnotherProcess(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, bpffs(t))
	old, recycled := recyclePid(t, w)
	if old.Pid != recycled.Pid || old == recycled.Identity {
		t.Fatalf("not what the test is for: %v, %v", old, recycled.Identity)
	}
	oldStatus, newStatus := newOutcome(), newOutcome()
	if err := w.Watch(recycled.Child, newStatus.call); err != nil {
		t.Fatal(err)
	}
	if err := w.Adopt(old, nil, oldStatus.call); err != nil {
		t.Fatal(err)
	}
	if got := oldStatus.one(t); got.Code != 21 || got.Source != SourceBPF {
		t.Errorf("first owner of the pid: %+v, want code 21 from bpf", got)
	}
	recycled.release.Close()
	if got := newStatus.one(t); got.Code != 22 {
		t.Errorf("second owner of the pid: %+v, want code 22", got)
	}
	if got, _ := w.recorder.status(old); got.Code != 21 {
		t.Errorf("the second owner's exit changed the first's record: %+v", got)
	}
}

// recyclePid lets a process end with code 21, watched, and starts another with its pid that
// will exit with 22.
func recyclePid(t *testing.T, w *Watcher) (Identity, process) {
	t.Helper()
	for range 50 {
		first := shell(t, "exit 21")
		reported := newOutcome()
		if err := w.Watch(first.Child, reported.call); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // start times have a grain of 10 ms
		first.release.Close()
		reported.one(t)
		last := fmt.Appendf(nil, "%d", first.Pid-1)
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", last, 0); err != nil {
			t.Skip("cannot choose the next pid: ", err)
		}
		second := shell(t, "exit 22")
		if second.Pid == first.Pid {
			return first.Identity, second
		}
		second.release.Close() // somebody else on the machine was faster
		reap(t, second.Pid)
		second.Pidfd.Close()
	}
	t.Skip("the machine is too busy to get a certain pid")
	return Identity{}, process{}
}

// TestInPidNamespace repeats the tests of the eBPF program in a pid namespace, as in a
// daemon that itself runs in a container: pids differ from those of the kernel's root.
func TestInPidNamespace(t *testing.T) {
	const marker = "SARDINE_EXITS_IN_PID_NAMESPACE"
	if os.Getenv(marker) != "" {
		t.Skip("already there")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for a pid namespace")
	}
	script := `mount -t proc proc /proc && exec "$0" -test.run 'TestRecycled|TestWatchChild|TestWatchReports' -test.v`
	cmd := exec.Command("/bin/sh", "-c", script, os.Args[0])
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWPID,
		Unshareflags: unix.CLONE_NEWNS, // and private propagation, which Go sees to
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestRecycledPidIsAnotherProcess") {
		t.Skipf("did not run there:\n%s", out)
	}
}
