// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// TestTerminalsOutliveDaemon: program and client go on talking, of a container and of an executed
// process.
func TestTerminalsOutliveDaemon(t *testing.T) {
	s := newStage(t)
	s.playUntilKilled("exec", "")
	s.takeOver()
	s.expect(s.out, "begun")
	s.expect(s.execout, "begun")
	for _, line := range []string{"one", "two"} {
		s.talk("in", s.out, line)
		s.talk("execin", s.execout, line)
	}
	c := s.get("one")
	if err := c.Resize(100, 30); err != nil {
		t.Fatal(err)
	}
	size := s.runExec(c, "size", "stty size </dev/console >/data/size")
	s.wait(size)
	if text, _ := os.ReadFile(filepath.Join(s.image, "data/size")); string(text) != "30 100\n" {
		t.Errorf("the terminal has the size %q", text)
	}
}

// TestWaitingOutlivesDaemon: a container that was not started is started by the next daemon, with
// its hooks, and its seccomp agent gets the listener.
func TestWaitingOutlivesDaemon(t *testing.T) {
	s := newStage(t)
	s.playUntilKilled("wait", "")
	s.takeOver()
	c := s.get("one")
	if state := c.Status().State; state != Created {
		t.Fatalf("it is %s", state)
	}
	agent, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.fifo("agent"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	got := make(chan string, 1)
	go func() { got <- takeDescriptor(agent) }()
	s.start(c)
	if text := <-got; !strings.Contains(text, `"id":"one"`) {
		t.Errorf("the agent got %q", text)
	}
	code := fmt.Sprint(s.wait(c)) // 5 if the kernel tells: see below
	s.delete(c)
	s.wantEvents("one started", "one exited "+code, "one deleted "+code)
	if text, _ := os.ReadFile(filepath.Join(s.image, "data/hooked")); string(text) != "start\npoststart\npoststop\n" {
		t.Errorf("hooks: %q", text)
	}
}

// takeDescriptor returns the message with which a descriptor came.
func takeDescriptor(agent *net.UnixListener) string {
	conn, err := agent.AcceptUnix()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	text, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return err.Error()
	}
	messages, err := unix.ParseSocketControlMessage(rights[:oobn])
	if err != nil || len(messages) != 1 {
		return "no descriptor"
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err.Error()
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	return string(text[:n])
}

// TestClosedStdinStaysClosed: the next daemon does not open an input again that was closed.
func TestClosedStdinStaysClosed(t *testing.T) {
	s := newStage(t)
	client, err := os.OpenFile(s.fifo("in"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.playUntilKilled("close stdin", "")
	s.takeOver()
	if !s.get("one").StdinClosed() {
		t.Error("it is not known")
	}
	if _, err := client.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	client.Close()
	testnode.Eventually(t, "the program has read its input to the end", func() bool {
		text, _ := os.ReadFile(filepath.Join(s.image, "data/typed"))
		return string(text) == "hello" && !slices.Contains(s.commands(s.get("one")), "cat")
	})
}

// TestKernelRemembersExits: how a process has ended that was no child of the daemon is known by
// its pidfd, which was kept, also when it has ended while there was no daemon.
func TestKernelRemembersExits(t *testing.T) {
	needPidfdInfo(t)
	s := newStage(t)
	s.playUntilKilled("codes", "")
	s.open()
	t.Cleanup(s.close)
	var records [2]struct {
		Process struct{ Pid int }
	}
	dir := filepath.Join(s.Dir, s.namespace, "one")
	for i, name := range []string{execPrefix + "e.json", recordName} {
		if err := readFile(dir, name, &records[i]); err != nil {
			t.Fatal(err)
		}
		unix.Kill(records[i].Process.Pid, unix.SIGTERM)
		testnode.Eventually(t, "its end", func() bool { return errors.Is(unix.Kill(records[i].Process.Pid, 0), unix.ESRCH) })
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := s.get("one")
	if code := s.wait(c); code != 7 {
		t.Errorf("exit status %d, want 7", code)
	}
	e, err := c.GetExec("e")
	if err != nil {
		t.Fatal(err)
	}
	if code := s.wait(e); code != 8 {
		t.Errorf("exit status of the exec %d, want 8", code)
	}
}

// needPidfdInfo skips on kernels that do not tell an exit status by pidfd.
func needPidfdInfo(t *testing.T) {
	t.Helper()
	fd, err := kernel.PidfdOpen(os.Getpid())
	if err == nil {
		defer unix.Close(fd)
		_, _, err = kernel.PidfdExitStatus(fd)
	}
	if err != nil {
		testnode.Unavailable(t, "Linux 6.15 tells exit statuses by pidfd: "+err.Error())
	}
}

// TestSessionsEndWithDaemon: the next daemon ends what was executed for a client that has gone, and
// nothing else.
func TestSessionsEndWithDaemon(t *testing.T) {
	s := newStage(t)
	s.playUntilKilled("session", "")
	s.takeOver()
	c := s.get("one")
	// Its shell may not have executed it yet.
	testnode.Eventually(t, "only the container's own process is left", func() bool { return slices.Equal(s.commands(c), []string{"sleep 1000"}) })
	if _, err := c.GetExec("e"); !errdefs.IsNotFound(err) {
		t.Errorf("the session is known: %v", err)
	}
	testnode.Eventually(t, "its record is removed", func() bool {
		_, err := os.Stat(filepath.Join(c.Bundle(), execPrefix+"e.json"))
		return errors.Is(err, os.ErrNotExist)
	})
	s.wantEvents()
	if state := c.Status().State; state != Running {
		t.Errorf("the container is %s", state)
	}
}

// TestCloseLeavesTerminals: the graceful end of a daemon is for its containers like any other.
func TestCloseLeavesTerminals(t *testing.T) {
	s := newStage(t)
	s.open()
	r := s.fullRequest()
	c := s.createRequest(r)
	s.start(c)
	s.expect(s.out, "begun")
	s.talk("in", s.out, "one")
	s.shut()
	c.init.release() // what the end of the process closes
	s.takeOver()
	s.talk("in", s.out, "two")
}

// TestWaitingIsDeletedByNextDaemon: what else can be done with a container that waits.
func TestWaitingIsDeletedByNextDaemon(t *testing.T) {
	s := newStage(t)
	s.playUntilKilled("wait", "")
	s.takeOver()
	c := s.get("one")
	if err := c.Update(&specs.LinuxResources{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Exec("e", &specs.Process{Args: []string{"true"}, Cwd: "/"}, stdio.Config{}); err != nil {
		t.Error(err)
	}
	began := time.Now()
	s.delete(c)
	if took := time.Since(began); took > testnode.Patience/2 {
		t.Errorf("it took %v", took)
	}
	if list := s.List(""); len(list) != 0 {
		t.Errorf("%d containers are left", len(list))
	}
}
