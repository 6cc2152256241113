// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"syscall"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/sardine-run/sardine/test/payload/talk"
	"github.com/sardine-run/sardine/test/payload/talklog"
)

// process is a process of a task: the first one, or an exec.
type process struct {
	*task
	*speaker
	who  string
	exec string // its id, "" for the first process
	sink *sink

	pid       uint32
	born      bool // there was a process
	state     tasktypes.Status
	startLost bool // a daemon died while it was starting it
	exit      *tasktypes.Process
	removed   bool
}

func (t *task) newProcess(exec string, first, terminal bool) *process {
	p := &process{task: t, exec: exec, who: t.who}
	if exec != "" {
		p.who += "/" + exec
	}
	p.speaker = t.newSpeaker(first, terminal)
	p.sink = t.newSink(terminal)
	p.script.Voices = len(p.sink.paths)
	t.notes.note(p.who, "is to run %v, terminal: %v", p.script, terminal)
	return p
}

// create makes the process by a call whose loss is found out about.
func (p *process) create(call func(context.Context) error) {
	for {
		lost, err := p.call(p.who, "Create the process", func(ctx context.Context) error { return call(p.in(ctx)) })
		switch {
		case err == nil:
			if p.observe(); p.state != tasktypes.Status_UNKNOWN {
				return
			}
			if p.exec == "" {
				p.fail(p.who, "it was created, and is not there")
			}
			continue // a daemon forgets what was added to a container and not started
		case !lost && p.exec != "" && p.first.ending():
			p.removed = true // there is nothing left to be executed in
			return
		case !lost:
			p.fail(p.who, "create the process: %v", err)
		}
		if p.observe(); p.state != tasktypes.Status_UNKNOWN {
			return
		}
	}
}

// gone asks whether the process has ended.
func (p *process) gone() bool {
	p.observe()
	return p.removed || p.exit != nil
}

// ending tells whether the process has ended or is about to, whoever knows of it. A daemon may learn of it late: the first
// process of a pid namespace ends after the others, and those that another daemon has started end when the node's
// init reaps them.
func (p *process) ending() bool { return p.killed || p.ends() || p.gone() }

// start runs the program.
func (p *process) start() {
	for p.state == tasktypes.Status_CREATED && !p.removed {
		lost, err := p.call(p.who, "Start the process", func(ctx context.Context) error {
			_, err := p.client.TaskService().Start(p.in(ctx), &tasksapi.StartRequest{ContainerID: p.id, ExecID: p.exec})
			return err
		})
		p.startLost = p.startLost || lost
		if err != nil && !lost {
			if p.exec != "" && p.first.ending() {
				p.startLost = true
				break
			}
			if p.observe(); p.exit == nil || p.with(created) {
				p.fail(p.who, "start the process: %v", err)
			}
			return
		}
		p.observe()
	}
	p.observe()
}

// observe asks for the process' state and compares it with what was seen before.
func (p *process) observe() {
	if p.removed {
		return
	}
	var now *tasktypes.Process
	err := p.insist(p.who, "Get", func(ctx context.Context) error {
		answer, err := p.client.TaskService().Get(p.in(ctx), &tasksapi.GetRequest{ContainerID: p.id, ExecID: p.exec})
		now = answer.GetProcess()
		return err
	})
	if errdefs.IsNotFound(errgrpc.ToNative(err)) && (p.state == tasktypes.Status_UNKNOWN || p.exec != "" && p.first.removed) {
		return
	}
	if errdefs.IsNotFound(errgrpc.ToNative(err)) && p.exec != "" && !p.born {
		p.removed = true // a daemon forgets what was added to a container and not started
		p.await(p.who, "what a daemon was starting is ended", func() bool { return len(processesWith(p.page)) == 0 })
		return
	}
	if err != nil {
		p.fail(p.who, "Get: %v", err)
	}
	p.notes.state(p.who, "daemon %d says: %v, process %d, exit status %d", p.lives.now(), now.Status, now.Pid, now.ExitStatus)
	p.compareState(now)
	if now.Status == tasktypes.Status_STOPPED && p.exit == nil {
		p.exit = now
		p.ended(now.ExitStatus)
	}
}

func (p *process) compareState(now *tasktypes.Process) {
	if now.Status < p.state {
		p.fail(p.who, "it was %v and is %v", p.state, now.Status)
	}
	if p.state == tasktypes.Status_CREATED && now.Status == tasktypes.Status_STOPPED && !p.began() && !p.startLost && !p.killed && p.with(created) && (p.exec == "" || !p.first.ending()) {
		p.fail(p.who, "it was never started, and has ended")
	}
	p.state = now.Status
	p.born = p.born || now.Pid != 0
	if p.pid == 0 {
		p.pid = now.Pid
	}
	if now.Pid != p.pid && now.Pid != 0 {
		p.fail(p.who, "it had process %d and has %d", p.pid, now.Pid)
	}
	if e := p.exit; e != nil && (now.ExitStatus != e.ExitStatus || !now.ExitedAt.AsTime().Equal(e.ExitedAt.AsTime())) {
		p.fail(p.who, "it had ended as %v and now as %v", e, now)
	}
}

// ended checks an exit status.
func (p *process) ended(status uint32) {
	if p.exec != "" && p.first.ending() {
		p.killed = true // the kernel does, in a pid namespace, and the daemon otherwise
	}
	complaint := p.speaker.ended(int(status))
	if complaint == "" || !p.began() && (p.startLost || !p.with(created) || p.killed) {
		return
	}
	p.fail(p.who, "%s", complaint)
}

func (p *process) ends() bool {
	page, _ := talk.ReadPage(p.page)
	return page.Ends
}

// signal sends SIGTERM or SIGKILL.
func (p *process) signal(kill bool) {
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	p.killed, p.told = p.killed || kill, p.told || !kill
	err := p.insist(p.who, fmt.Sprintf("Kill with %v", sig), func(ctx context.Context) error {
		_, err := p.client.TaskService().Kill(p.in(ctx), &tasksapi.KillRequest{ContainerID: p.id, ExecID: p.exec, Signal: uint32(sig)})
		return err
	})
	if err != nil && p.state == tasktypes.Status_RUNNING && !p.gone() {
		p.fail(p.who, "Kill: %v", err)
	}
}

// finish ends the process, or waits for it to end, and removes it.
func (p *process) finish(kill bool) {
	if !p.gone() && (kill || p.script.Life == 0 || p.state == tasktypes.Status_CREATED) {
		p.signal(kill || p.script.Term < 0 || !p.began())
	}
	p.await(p.who, "it has ended", func() bool {
		if !p.gone() && p.told && !p.killed && p.chance(2) {
			p.signal(true) // it may have been told before it listened
		}
		return p.gone() || p.exec != "" && p.first.exit != nil
	})
	p.remove()
	p.settle()
}

// remove removes the process, which has ended. Of two calls the first may have done it.
func (p *process) remove() {
	for !p.removed {
		var status uint32
		lost, err := p.call(p.who, "Delete", func(ctx context.Context) error {
			if p.exec != "" {
				answer, err := p.client.TaskService().DeleteProcess(p.in(ctx), &tasksapi.DeleteProcessRequest{ContainerID: p.id, ExecID: p.exec})
				status = answer.GetExitStatus()
				return err
			}
			answer, err := p.client.TaskService().Delete(p.in(ctx), &tasksapi.DeleteTaskRequest{ContainerID: p.id})
			status = answer.GetExitStatus()
			return err
		})
		switch {
		case err == nil:
			if p.removed = true; p.exit == nil || status != p.exit.ExitStatus {
				p.fail(p.who, "Delete says exit status %d, before it was %v", status, p.exit)
			}
		case lost:
			p.removed = p.missing()
		default:
			p.fail(p.who, "Delete: %v", err)
		}
	}
}

// missing asks whether a call has removed the process.
func (p *process) missing() bool {
	err := p.insist(p.who, "Get", func(ctx context.Context) error {
		_, err := p.client.TaskService().Get(p.in(ctx), &tasksapi.GetRequest{ContainerID: p.id, ExecID: p.exec})
		return err
	})
	return errdefs.IsNotFound(errgrpc.ToNative(err))
}

// settle checks what was printed, and what was told of the end, when the process is gone.
func (p *process) settle() {
	if p.sink == nil {
		return
	}
	text, err := p.sink.close()
	p.sink = nil
	if err != nil {
		p.fail(p.who, "%v", err)
	}
	page, err := talk.ReadPage(p.page)
	if err != nil {
		p.fail(p.who, "%v", err)
	}
	expected := &talklog.Expected{Seed: p.script.Seed, Page: page, Terminal: p.terminal, Whole: !p.terminal || p.with(lateOutput)}
	for stream := range text {
		if _, complaint := expected.Compare(stream, text[stream]); complaint != "" {
			p.fail(p.who, "%s", complaint)
		}
	}
	id := p.exec
	if id == "" {
		id = p.id
	}
	for _, e := range p.exits.ends(p.id, id) {
		p.ended(e.ExitStatus)
		if p.exit != nil && (e.ExitStatus != p.exit.ExitStatus || !e.ExitedAt.AsTime().Equal(p.exit.ExitedAt.AsTime())) {
			p.fail(p.who, "it ended as %v, and an event says %v", p.exit, e)
		}
	}
}
