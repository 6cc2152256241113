// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/test/cri"
	"github.com/sardine-run/sardine/test/payload/talk"
	"github.com/sardine-run/sardine/test/payload/talklog"
)

// present is the daemon under test.
const present = "sardined"

// node runs one release after the other.
type node struct {
	*cri.Node
	t        *testing.T
	previous string // path of that release's daemon
	pages    string
	programs int
}

func newNode(t *testing.T) *node {
	n := &node{t: t, previous: buildPrevious(t)}
	n.Node = cri.StartNode(t)
	n.Pull(cri.Busybox)
	n.ImportBusybox()
	n.Baseline() // of the present release, which the last daemon is of
	n.pages = filepath.Join(n.Dir, "pages")
	if err := os.Mkdir(n.pages, 0o777); err != nil {
		t.Fatal(err)
	}
	return n
}

// run has a release go on where the last daemon, which has ended, stopped.
func (n *node) run(program string) {
	n.t.Helper()
	n.SetProgram(program)
	n.Start()
	n.Restarted()
}

// program is one that talks.
type program struct {
	script talk.Script
	page   string
}

// program ends with code term when it is told to.
func (n *node) program(term int) *program {
	n.programs++
	p := &program{page: filepath.Join(n.pages, fmt.Sprintf("page-%03d", n.programs))}
	p.script = talk.Script{Seed: uint64(n.programs), Page: p.page, Pace: 5 * time.Millisecond, Voices: 2, Term: term}
	return p
}

func (p *program) args() []string { return append([]string{"payload"}, p.script.Args()...) }

// written is how much the program has printed.
func (p *program) written(t *testing.T) int {
	t.Helper()
	page, err := talk.ReadPage(p.page)
	if err != nil {
		t.Fatal(err)
	}
	return page.Done[0] + page.Done[1]
}

// container is one of a pod, with what must stay as it is.
type container struct {
	*program
	name     string
	terminal bool
	pod      *cri.Pod
	id       string
	pid      int
	seen     *runtime.ContainerStatus
}

// create makes a container of a pod whose program ends with term when it is told to.
func (n *node) create(pod *cri.Pod, name string, term int) *container {
	n.t.Helper()
	return n.createOn(pod, name, term, false)
}

// createOn is create for one that may be on a terminal.
func (n *node) createOn(pod *cri.Pod, name string, term int, terminal bool) *container {
	n.t.Helper()
	c := &container{program: n.program(term), name: name, pod: pod, terminal: terminal}
	if terminal {
		c.script.Voices = 1
	}
	c.id = pod.Create(cri.ContainerConfig(name, "", func(config *runtime.ContainerConfig) {
		config.Command, config.Tty = c.args(), terminal
		config.Mounts = []*runtime.Mount{{HostPath: n.pages, ContainerPath: n.pages}}
		config.Linux.SecurityContext = &runtime.LinuxContainerSecurityContext{
			NamespaceOptions: pod.Config.Linux.SecurityContext.NamespaceOptions,
		}
	}))
	return c
}

// start runs it until it prints.
func (n *node) start(c *container) *container {
	n.t.Helper()
	n.StartContainer(c.id)
	n.Eventually(c.name+" prints", func() bool { return c.written(n.t) > 10000 })
	c.seen, c.pid = n.Status(c.id), n.pidOf(c.id)
	return c
}

func (n *node) pidOf(id string) int {
	n.t.Helper()
	answer, err := n.Runtime.ContainerStatus(n.t.Context(), &runtime.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err != nil {
		n.t.Fatal(err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(answer.Info["info"]), &info); err != nil || info.Pid == 0 {
		n.t.Fatalf("no pid in the verbose status: %v: %s", err, answer.Info["info"])
	}
	return info.Pid
}

// goesOn wants a container to be as it was, and its log to grow.
func (n *node) goesOn(c *container) {
	n.t.Helper()
	now := n.Status(c.id)
	if pid := n.pidOf(c.id); now.State != runtime.ContainerState_CONTAINER_RUNNING || pid != c.pid ||
		now.StartedAt != c.seen.StartedAt || now.CreatedAt != c.seen.CreatedAt || now.Metadata.Attempt != c.seen.Metadata.Attempt {
		n.t.Errorf("%s is %v with process %d, was %v with %d", c.name, now, pid, c.seen, c.pid)
	}
	size := len(c.pod.Log(c.name))
	n.Eventually("the log of "+c.name+" grows", func() bool { return len(c.pod.Log(c.name)) > size })
	if got := n.Exec(c.id, "echo", "here"); got != "here" {
		n.t.Errorf("exec in %s printed %q", c.name, got)
	}
	n.logged(c, true, false)
	stats, err := n.Runtime.ContainerStats(n.t.Context(), &runtime.ContainerStatsRequest{ContainerId: c.id})
	if err != nil || stats.Stats.GetMemory().GetWorkingSetBytes().GetValue() == 0 {
		n.t.Errorf("statistics of %s: %v, %v", c.name, stats, err)
	}
}

// logged compares the log with what the program has written.
func (n *node) logged(c *container, running, whole bool) {
	n.t.Helper()
	if err := talklog.Check(c.script.Seed, c.page, c.terminal, running, whole, c.pod.LogFile(c.name)); err != nil {
		n.t.Errorf("log of %s: %v", c.name, err)
	}
}

// ended wants a container to have ended with a code.
func (n *node) ended(c *container, code int32) {
	n.t.Helper()
	now := n.WaitExited(c.id)
	if now.ExitCode != code || now.StartedAt != c.seen.StartedAt {
		n.t.Errorf("%s ended as %v, want exit code %d; was %v", c.name, now, code, c.seen)
	}
	c.seen = now
}

// sameEnd wants nothing to have changed since ended.
func (n *node) sameEnd(c *container) {
	n.t.Helper()
	if now := n.Status(c.id); now.State != c.seen.State || now.FinishedAt != c.seen.FinishedAt || now.ExitCode != c.seen.ExitCode || now.Reason != c.seen.Reason {
		n.t.Errorf("%s ended as %v, was %v", c.name, now, c.seen)
	}
}

// address wants a pod to have an IP, and returns it.
func (n *node) address(pod *cri.Pod) string {
	n.t.Helper()
	answer, err := n.Runtime.PodSandboxStatus(n.t.Context(), &runtime.PodSandboxStatusRequest{PodSandboxId: pod.ID})
	if err != nil || answer.Status.State != runtime.PodSandboxState_SANDBOX_READY || answer.Status.Network.GetIp() == "" {
		n.t.Fatalf("status of a pod: %v, %v", answer, err)
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	// Nobody listens there: the pod's own kernel says so.
	if conn, err := n.Place.Dial(ctx, "tcp", answer.Status.Network.Ip+":9"); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			conn.Close()
		}
		n.t.Errorf("the pod %s cannot be reached: %v", answer.Status.Network.Ip, err)
	}
	return answer.Status.Network.Ip
}

// signal is sent past the daemon, and the end awaited.
func (n *node) signal(pid int, signal syscall.Signal) {
	n.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil {
		n.t.Fatal(err)
	}
	n.Eventually(fmt.Sprintf("process %d ends", pid), func() bool {
		ended, err := kernel.Readable(fd)
		return err == nil && ended
	})
}

// task is a container of ctr.
type task struct {
	*program
	id  string
	pid int
	log string
}

func (n *node) runTask(id string, term int) *task {
	n.t.Helper()
	task := &task{program: n.program(term), id: id, log: filepath.Join(n.Dir, id+".log")}
	task.script.Voices = 1 // a file has both streams
	n.MustCtr(n.RunArgs(append([]string{"--detach", "--log-uri", "file://" + task.log, "--cgroup", "/" + n.Namespace + "/" + id,
		"--mount", "type=bind,src=" + n.pages + ",dst=" + n.pages + ",options=rbind:rw", "localhost/e2e/busybox:1", id}, task.args()...)...)...)
	n.Eventually(id+" prints", func() bool { return task.written(n.t) > 1000 })
	task.pid, _ = n.taskState(id)
	return task
}

// execute runs a program in a task and leaves it alone.
func (n *node) execute(task *task, id string, term int) *program {
	n.t.Helper()
	p := n.program(term)
	n.MustCtr(append([]string{"tasks", "exec", "--detach", "--log-uri", "file://" + task.log + "." + id, "--exec-id", id, task.id}, p.args()...)...)
	n.Eventually(id+" prints", func() bool { return p.written(n.t) > 1000 })
	return p
}

func (n *node) taskState(id string) (pid int, state string) {
	n.t.Helper()
	for line := range strings.Lines(n.MustCtr("tasks", "ls")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			pid, _ = strconv.Atoi(fields[1])
			return pid, fields[2]
		}
	}
	return 0, "gone"
}

// taskGoesOn wants a task to be as it was.
func (n *node) taskGoesOn(task *task) {
	n.t.Helper()
	if pid, state := n.taskState(task.id); pid != task.pid || state != "RUNNING" {
		n.t.Errorf("task %s is %s with process %d, was running with %d", task.id, state, pid, task.pid)
	}
	size := task.written(n.t)
	n.Eventually(task.id+" prints", func() bool { return task.written(n.t) > size })
	if out := n.MustCtr(n.ExecArgs("--exec-id", "echo", task.id, "echo", "here")...); out != "here\n" {
		n.t.Errorf("exec in task %s printed %q", task.id, out)
	}
	if out := n.MustCtr("tasks", "metrics", task.id); !strings.Contains(out, task.id) {
		n.t.Errorf("metrics of task %s: %q", task.id, out)
	}
}

// endTask removes a task that has ended, and compares its exit code and its file.
func (n *node) endTask(task *task, code int) {
	n.t.Helper()
	n.Eventually(task.id+" has stopped", func() bool { _, state := n.taskState(task.id); return state == "STOPPED" })
	c, err := n.Client().LoadContainer(n.Context(), task.id)
	if err != nil {
		n.t.Fatal(err)
	}
	t, err := c.Task(n.Context(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	exit, err := t.Delete(n.Context())
	if err != nil || int(exit.ExitCode()) != code {
		n.t.Errorf("task %s ended with %d, %v, want %d", task.id, exit.ExitCode(), err, code)
	}
	n.MustCtr("containers", "rm", task.id)
	got, err := os.ReadFile(task.log)
	page, errPage := talk.ReadPage(task.page)
	if err := errors.Join(err, errPage); err != nil {
		n.t.Fatal(err)
	}
	if _, complaint := (&talklog.Expected{Seed: task.script.Seed, Page: page, Whole: true}).Compare(0, got); complaint != "" {
		n.t.Errorf("log of task %s: %s", task.id, complaint)
	}
}
