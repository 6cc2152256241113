// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// talker is a client that outlives the daemon: it types, and reads what comes.
type talker struct {
	io.Writer
	typed *io.PipeWriter
	out   lockedBuffer
	cio.IO
}

// newTalker returns a talker, and what creates its streams.
func newTalker(d *Daemon, opts ...cio.Opt) (*talker, cio.Creator) {
	in, typed := io.Pipe()
	c := &talker{Writer: typed, typed: typed}
	create := cio.NewCreator(append([]cio.Opt{cio.WithStreams(in, &c.out, &c.out), cio.WithFIFODir(d.Dir + "/fifo")}, opts...)...)
	return c, func(id string) (cio.IO, error) {
		streams, err := create(id)
		c.IO = streams
		return streams, err
	}
}

func (c *talker) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (c *talker) hears(t *testing.T, text string) {
	t.Helper()
	testnode.Eventually(t, fmt.Sprintf("%q is read", text), func() bool { return strings.Contains(c.out.String(), text) })
}

// close ends the client, once the other side has.
func (c *talker) close(t *testing.T) {
	t.Helper()
	c.typed.Close()
	c.IO.Wait() // the end of its output
	if err := c.IO.Close(); err != nil {
		t.Error(err)
	}
}

// numbered prints lines, a little every now and then.
func numbered(lines int) string {
	return fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); [ $((i%%10)) -ne 0 ] || sleep 0.005; done", lines)
}

// wantNumbered checks that each line was read once, in order.
func wantNumbered(t *testing.T, text string, lines int) {
	t.Helper()
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %d\r\n", i)
	}
	if !strings.HasPrefix(text, want.String()) {
		i := 0
		for i < len(text) && i < want.Len() && text[i] == want.String()[i] {
			i++
		}
		t.Errorf("after %d bytes comes %.60q", i, text[i:])
	}
}

// eachEnd runs a test with the daemon killed, and with it stopped.
func eachEnd(t *testing.T, test func(t *testing.T, d *Daemon, restart func())) {
	t.Helper()
	for name, end := range map[string]func(*Daemon){"kill -9": (*Daemon).Kill9, "stopped": (*Daemon).Stop} {
		t.Run(name, func(t *testing.T) {
			d := StartDaemon(t)
			test(t, d, func() {
				end(d)
				d.Start()
			})
		})
	}
}

// TestTerminalsSurvive: programs on terminals and their clients do not notice that the daemon is replaced,
// again and again. No byte is lost, doubled or out of order.
func TestTerminalsSurvive(t *testing.T) {
	eachEnd(t, func(t *testing.T, d *Daemon, restart func()) {
		const restarts = 3
		lines := 6000
		if slow() {
			lines = 2000 // two processes for every ten lines take a minute there
		}
		ref := d.ImportBusybox()
		box, creator := newTalker(d, cio.WithTerminal)
		c := newContainer(t, d, ref, "one", oci.WithTTY, oci.WithProcessArgs("sh", "-c", numbered(lines)+`; read word; stty size; echo "got $word"`))
		task := newTask(t, d, c, creator)
		startProcess(t, d, task)
		command, execCreator := newTalker(d, cio.WithTerminal)
		process := shell(numbered(lines) + `; read word; stty size; echo "got $word"`)
		process.Terminal = true
		exec, err := task.Exec(d.Context(), "e", process, execCreator)
		if err != nil {
			t.Fatal(err)
		}
		startProcess(t, d, exec)
		for i := range restarts {
			box.hears(t, fmt.Sprintf("line %d\r\n", (i+1)*500))
			restart()
		}
		for _, c := range []*talker{box, command} {
			c.hears(t, fmt.Sprintf("line %d\r\n", lines-1))
			wantNumbered(t, c.out.String(), lines)
		}
		task = loadTask(t, d, "one")
		if exec, err = task.LoadProcess(d.Context(), "e", cio.Load); err != nil {
			t.Fatal(err)
		}
		for _, s := range []struct {
			containerd.Process
			*talker
		}{{exec, command}, {task, box}} { // the last one takes all others of the container along
			must(t, s.Resize(d.Context(), 132, 43))
			s.say(t, "hello")
			s.hears(t, "43 132\r\ngot hello\r\n")
			waitProcess(t, d, s.Process)
			s.close(t)
		}
		deleteTask(t, d, task)
	})
}

// TestInputSurvives: a program that reads its input does not see the end of it before its client says so.
func TestInputSurvives(t *testing.T) {
	eachEnd(t, func(t *testing.T, d *Daemon, restart func()) {
		client, creator := newTalker(d)
		task := newTask(t, d, newContainer(t, d, d.ImportBusybox(), "one", oci.WithProcessArgs("cat")), creator)
		startProcess(t, d, task)
		client.say(t, "one")
		client.hears(t, "one\n")
		restart()
		client.say(t, "two")
		client.hears(t, "one\ntwo\n")
		restart()
		client.typed.Close() // the client's own end: the daemon has another
		task = loadTask(t, d, "one")
		if got := status(d, "one"); got != "RUNNING" {
			t.Errorf("it is %s before its input was closed", got)
		}
		must(t, task.CloseIO(d.Context(), containerd.WithStdinCloser))
		waitProcess(t, d, task)
		client.close(t)
		deleteTask(t, d, task)
	})
}

// TestClosedInputSurvives: what was closed stays closed.
func TestClosedInputSurvives(t *testing.T) {
	eachEnd(t, func(t *testing.T, d *Daemon, restart func()) {
		client, creator := newTalker(d)
		task := newTask(t, d, newContainer(t, d, d.ImportBusybox(), "one", oci.WithProcessArgs("cat")), creator)
		startProcess(t, d, task)
		client.say(t, "one")
		client.hears(t, "one\n")
		must(t, task.CloseIO(d.Context(), containerd.WithStdinCloser))
		restart()
		client.typed.Close()
		task = loadTask(t, d, "one")
		waitProcess(t, d, task)
		client.close(t)
		deleteTask(t, d, task)
	})
}

// TestCreatedSurvives: a container that was made by one daemon is started by another.
func TestCreatedSurvives(t *testing.T) {
	eachEnd(t, func(t *testing.T, d *Daemon, restart func()) {
		client, creator := newTalker(d)
		c := newContainer(t, d, d.ImportBusybox(), "one", oci.WithProcessArgs("sh", "-c", "echo hello; exit 3"))
		pid := newTask(t, d, c, creator).Pid()
		restart()
		restart()
		if got := status(d, "one"); got != "CREATED" {
			t.Fatalf("it is %s", got)
		}
		events := collectEvents(t, d)
		task := loadTask(t, d, "one")
		if task.Pid() != pid {
			t.Errorf("it has pid %d, had %d", task.Pid(), pid)
		}
		startProcess(t, d, task)
		client.hears(t, "hello\n")
		if code := waitProcess(t, d, task); code != 3 {
			t.Errorf("exit status %d, want 3", code)
		}
		events.await(t, "/tasks/start")
		events.await(t, "/tasks/exit")
		client.close(t)
		deleteTask(t, d, task)
	})
}

// TestExitsWithoutRecorder: the kernel remembers how processes have ended whose pidfds are kept.
func TestExitsWithoutRecorder(t *testing.T) {
	if fd, err := kernel.PidfdOpen(unix.Getpid()); err == nil {
		_, _, err = kernel.PidfdExitStatus(fd)
		unix.Close(fd)
		if err != nil {
			testnode.Unavailable(t, "Linux 6.15 tells exit statuses by pidfd: "+err.Error())
		}
	}
	d := StartDaemon(t, WithoutBPF())
	ref := d.ImportBusybox()
	coded := runTask(t, d, ref, "coded", oci.WithProcessArgs("sh", "-c", onTerm("exit 42")))
	killed := runTask(t, d, ref, "killed", oci.WithProcessArgs("sleep", "600"))
	later := runTask(t, d, ref, "later", oci.WithProcessArgs("sh", "-c", onTerm("exit 43")))
	exec, out := addExec(t, d, later, "e", shell("trap 'exit 44' TERM; echo ready; while :; do sleep 0.05; done"))
	startProcess(t, d, exec)
	execPid := exec.Pid()
	trapIsSet(t, d, "coded")
	trapIsSet(t, d, "later")
	testnode.Eventually(t, "the exec's trap is set", func() bool { return out.String() != "" })
	crash(d, func() {
		must(t, syscall.Kill(int(coded.Pid()), syscall.SIGTERM))
		must(t, syscall.Kill(int(killed.Pid()), syscall.SIGKILL))
		must(t, syscall.Kill(int(execPid), syscall.SIGTERM))
		for _, pid := range []uint32{coded.Pid(), killed.Pid(), execPid} {
			testnode.Eventually(t, fmt.Sprint("process ", pid, " ends"), func() bool { return !testnode.Alive(int(pid)) })
		}
	})
	must(t, loadTask(t, d, "later").Kill(d.Context(), syscall.SIGTERM))
	loaded, err := loadTask(t, d, "later").LoadProcess(d.Context(), "e", cio.Load)
	if err != nil {
		t.Fatal(err)
	}
	if code := waitProcess(t, d, loaded); code != 44 {
		t.Errorf("the exec has exit status %d, want 44", code)
	}
	for id, want := range map[string]uint32{"coded": 42, "killed": 137, "later": 43} {
		task := loadTask(t, d, id)
		if code := waitProcess(t, d, task); code != want {
			t.Errorf("%s has exit status %d, want %d", id, code, want)
		}
		deleteTask(t, d, task)
	}
}
