// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// playVariable makes the test program a daemon that is killed: at a fault point, or when it has
// done what it was to do.
const playVariable = "CONTAINER_TEST_PLAY"

// scenario is what such a daemon does.
type scenario struct {
	State, Namespace, Image string
	Act                     string
	Point                   fault.Name
}

// acts are done in a daemon. arm sets the trap that kills it.
var acts = map[string]func(n *node, arm func()){
	"create": func(n *node, arm func()) {
		arm()
		n.createRequest(n.fullRequest())
	},
	"start": func(n *node, arm func()) {
		c := n.createRequest(n.fullRequest())
		arm()
		n.start(c)
	},
	"exec": func(n *node, arm func()) {
		c := n.createRequest(n.fullRequest())
		n.start(c)
		e := n.fullExec(c)
		arm()
		if err := e.Start(n.t.Context()); err != nil {
			n.t.Fatal(err)
		}
	},
	"session": func(n *node, arm func()) {
		c := n.run("one", "sleep 1000")
		e := n.session(c)
		arm()
		if err := e.Start(n.t.Context()); err != nil {
			n.t.Fatal(err)
		}
	},
	"exit": func(n *node, arm func()) {
		c := n.createRequest(n.fullRequest())
		n.start(c)
		arm()
		if err := c.Kill(unix.SIGKILL, false); err != nil {
			n.t.Fatal(err)
		}
		n.wait(c)
	},
	"delete": func(n *node, arm func()) {
		c := n.createRequest(n.fullRequest())
		n.start(c)
		n.runExec(c, "e", "sleep 1000")
		if err := c.Kill(unix.SIGKILL, false); err != nil {
			n.t.Fatal(err)
		}
		n.wait(c)
		arm()
		n.delete(c)
	},
	"wait": func(n *node, _ func()) { n.createRequest(n.waitingRequest()) },
	"close stdin": func(n *node, _ func()) {
		r := n.request("one", n.spec("cat >/data/typed; sleep 1000"))
		r.Stdio.Stdin = n.fifo("in")
		c := n.createRequest(r)
		n.start(c)
		c.CloseStdin()
	},
	"codes": func(n *node, _ func()) {
		c := n.run("one", "trap 'exit 7' TERM; echo >/data/trap; while :; do sleep 0.01; done")
		testnode.Eventually(n.t, "the trap", func() bool { _, err := os.Stat(filepath.Join(n.image, "data/trap")); return err == nil })
		n.runExec(c, "e", "trap 'exit 8' TERM; echo >/data/etrap; while :; do sleep 0.01; done")
		testnode.Eventually(n.t, "the trap", func() bool { _, err := os.Stat(filepath.Join(n.image, "data/etrap")); return err == nil })
	},
}

// fifo is the path of a FIFO that the test has made.
func (n *node) fifo(name string) string { return filepath.Join(filepath.Dir(n.state), name) }

// fullRequest is a container with all that may have to be kept, started later.
func (n *node) fullRequest() *Request {
	r := n.request("one", n.spec("stty -echo; echo begun; cat"))
	r.Stdio = stdio.Config{Stdin: n.fifo("in"), Stdout: n.fifo("out"), Terminal: true}
	r.Waits = true
	return r
}

// waitingRequest is a container that is started later, with everything that happens then.
func (n *node) waitingRequest() *Request {
	spec := n.spec("cat /data/hooked; exit 5")
	hook := func(text string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + text + " >>" + n.image + "/data/hooked"}}}
	}
	spec.Hooks = &specs.Hooks{
		StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo start >>/data/hooked"}, Env: []string{"PATH=/bin"}}},
		Poststart:      hook("poststart"), Poststop: hook("poststop"),
	}
	spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: n.fifo("agent"),
		Syscalls: []specs.LinuxSyscall{{Names: []string{"swapoff"}, Action: specs.ActNotify}},
	}
	r := n.request("one", spec)
	r.Waits = true
	return r
}

func (n *node) createRequest(r *Request) *Container {
	n.t.Helper()
	c, err := n.Create(n.t.Context(), r)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// fullExec is a process on a terminal of its own.
func (n *node) fullExec(c *Container) *Exec {
	n.t.Helper()
	e, err := c.Exec("e", &specs.Process{Args: []string{"/bin/sh", "-c", "stty -echo; echo begun; cat"}, Env: []string{"PATH=/bin"}, Cwd: "/"},
		stdio.Config{Stdin: n.fifo("execin"), Stdout: n.fifo("execout"), Terminal: true})
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

// session is a process of a client that has gone with the daemon, and its child.
func (n *node) session(c *Container) *Exec {
	n.t.Helper()
	_, program, err := kernel.OutputPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	e, err := c.ExecLike("e", func(p *specs.Process) { p.Args = []string{"/bin/sh", "-c", "sleep 1001 & sleep 1002"} },
		stdio.Config{Files: &stdio.Files{Stdout: program}})
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

// play does what text, a scenario, says, and does not come back.
func play(text string) {
	var s scenario
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	n := &node{t: actor{}, namespace: s.Namespace, image: s.Image, state: s.State, keeps: true}
	n.open()
	acts[s.Act](n, func() {
		if s.Point != "" {
			os.Setenv("SARDINE_FAULTS", string(s.Point)+"="+fault.Kill)
		}
	})
	if s.Point != "" {
		time.Sleep(testnode.Patience) // in case it is another goroutine that comes there
		fmt.Fprintln(os.Stderr, "the point was not reached:", s.Point)
		os.Exit(1)
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// actor is the testing.TB of a daemon that will be killed.
type actor struct{ testing.TB }

func (actor) Helper()                  {}
func (actor) Context() context.Context { return context.Background() }
func (a actor) Error(args ...any)      { a.Fatal(args...) }
func (a actor) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}
func (a actor) Errorf(format string, args ...any) { a.Fatal(fmt.Sprintf(format, args...)) }
func (a actor) Fatalf(format string, args ...any) { a.Fatal(fmt.Sprintf(format, args...)) }

// stage is a node without a daemon, and the clients that outlive one.
type stage struct {
	*node
	out, execout *client
}

// client reads the output of a terminal.
type client struct {
	*os.File
	lines *bufio.Reader
}

func newStage(t *testing.T) *stage {
	t.Helper()
	n := prepareNode(t)
	n.keeps = true
	for _, name := range []string{"in", "out", "execin", "execout"} {
		if err := unix.Mkfifo(n.fifo(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &stage{node: n, out: n.newClient("out"), execout: n.newClient("execout")}
}

func (n *node) newClient(fifo string) *client {
	n.t.Helper()
	f, err := os.OpenFile(n.fifo(fifo), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { f.Close() })
	return &client{f, bufio.NewReader(f)}
}

// playUntilKilled has a daemon do act, and kills it at a point, or at the end.
func (s *stage) playUntilKilled(act string, at fault.Name) {
	s.t.Helper()
	text, err := json.Marshal(scenario{State: s.state, Namespace: s.namespace, Image: s.image, Act: act, Point: at})
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), playVariable+"="+string(text), "SARDINE_INIT="+initPath)
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		s.t.Fatalf("the daemon was not killed: %v\n%s", err, out)
	}
}

// takeOver is the next daemon.
func (s *stage) takeOver() {
	s.t.Helper()
	s.open()
	s.t.Cleanup(s.close)
	if err := s.Load(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// talk types a line and waits for it to come back.
func (s *stage) talk(in string, from *client, line string) {
	s.t.Helper()
	f, err := os.OpenFile(s.fifo(in), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		s.t.Fatal(err)
	}
	s.expect(from, line)
}

// expect reads a line.
func (s *stage) expect(from *client, want string) {
	s.t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(testnode.Patience)); err != nil {
		s.t.Fatal(err)
	}
	if line, err := from.lines.ReadString('\n'); err != nil || line != want+"\r\n" {
		s.t.Fatalf("the terminal shows %q, %v; want %q", line, err, want)
	}
}
