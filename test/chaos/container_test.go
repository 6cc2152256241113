// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/test/cri"
	"github.com/sardine-run/sardine/test/payload/talklog"
)

// container is one of a pod's, with all that was ever seen of it.
type container struct {
	*pod
	*speaker
	who    string
	config *runtime.ContainerConfig
	id     string
	logs   []string // the files of its log, the oldest first

	created, started int64
	pid              int
	state            runtime.ContainerState
	exit             *runtime.ContainerStatus // as it was seen first
	startLost        bool                     // a daemon died while it was starting it
	removed          bool
	// The daemons that were asked when it was last seen running, and first seen exited; 0 for none.
	seenAlive, seenEnded     int
	seenAliveAt, seenEndedAt time.Time
}

// addContainer makes a container, and mostly starts it at once.
func (p *pod) addContainer() {
	c := p.createContainer(fmt.Sprintf("c%d", len(p.containers)), 0)
	if p.chance(80) {
		c.start()
	}
}

func (p *pod) createContainer(name string, attempt uint32) *container {
	terminal := p.with(terminals) && p.chance(25)
	c := &container{pod: p, who: fmt.Sprintf("%s/%s.%d", p.who, name, attempt)}
	first := p.config.Linux.SecurityContext.NamespaceOptions.Pid == runtime.NamespaceMode_CONTAINER
	c.speaker = p.newSpeaker(first, terminal)
	c.config = &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: name, Attempt: attempt},
		Image:    &runtime.ImageSpec{Image: cri.Busybox},
		Command:  c.args(),
		LogPath:  fmt.Sprintf("%s.%d.log", name, attempt),
		Tty:      terminal,
		Mounts:   []*runtime.Mount{{HostPath: p.pages, ContainerPath: p.pages}},
		Linux: &runtime.LinuxContainerConfig{
			SecurityContext: &runtime.LinuxContainerSecurityContext{NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions},
		},
	}
	c.logs = []string{filepath.Join(p.config.LogDirectory, c.config.LogPath)}
	p.containers = append(p.containers, c)
	p.notes.note(c.who, "is to run %v, terminal: %v", c.script, terminal)
	c.create()
	return c
}

func (c *container) create() {
	for c.id == "" {
		lost, err := c.call(c.who, "CreateContainer", func(ctx context.Context) error {
			answer, err := c.cri.CreateContainer(ctx, &runtime.CreateContainerRequest{PodSandboxId: c.pod.id, Config: c.config, SandboxConfig: c.pod.config})
			c.id = answer.GetContainerId()
			return err
		})
		if err != nil && !lost {
			c.fail(c.who, "CreateContainer: %v", err)
		}
		if lost {
			c.find()
		}
	}
	c.notes.note(c.who, "has the id %s", c.id)
	c.observe()
}

// find looks for the container that a call may have made.
func (c *container) find() {
	var list []*runtime.Container
	c.must(c.who, "ListContainers", func(ctx context.Context) error {
		answer, err := c.cri.ListContainers(ctx, &runtime.ListContainersRequest{Filter: &runtime.ContainerFilter{PodSandboxId: c.pod.id}})
		list = answer.GetContainers()
		return err
	})
	known := map[string]bool{}
	for _, other := range c.containers {
		known[other.id] = true
	}
	for _, found := range list {
		switch {
		case known[found.Id]:
		case c.id == "" && found.Metadata.Name == c.config.Metadata.Name && found.Metadata.Attempt == c.config.Metadata.Attempt:
			c.id = found.Id
		default:
			c.fail(c.who, "nobody has made %v", found)
		}
	}
}

// start starts a container that was not started yet.
func (c *container) start() {
	for c.state == runtime.ContainerState_CONTAINER_CREATED && !c.removed {
		lost, err := c.call(c.who, "StartContainer", func(ctx context.Context) error {
			_, err := c.cri.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: c.id})
			return err
		})
		if err != nil && !lost {
			c.fail(c.who, "StartContainer: %v", err)
		}
		c.startLost = c.startLost || lost
		c.observe()
		if err == nil && c.state == runtime.ContainerState_CONTAINER_CREATED {
			c.fail(c.who, "it is not started, although the call said so")
		}
	}
}

// observe asks for the container's status and compares it with what was seen before.
func (c *container) observe() {
	if c.removed {
		return
	}
	var s *runtime.ContainerStatus
	var pid int
	before := c.lives.now()
	c.must(c.who, "ContainerStatus", func(ctx context.Context) error {
		answer, err := c.cri.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: c.id, Verbose: true})
		s, pid = answer.GetStatus(), pidIn(answer)
		return err
	})
	c.notes.state(c.who, "daemon %d says: %v, process %d, exit code %d, %s", before, s.State, pid, s.ExitCode, s.Reason)
	c.compareStatus(s, pid)
	switch s.State {
	case runtime.ContainerState_CONTAINER_RUNNING:
		c.seenAlive, c.seenAliveAt = before, time.Now()
	case runtime.ContainerState_CONTAINER_EXITED:
		if c.exit == nil {
			c.seenEnded, c.seenEndedAt = before, time.Now()
			c.ended(s)
		}
	}
}

func pidIn(answer *runtime.ContainerStatusResponse) int {
	var info struct{ Pid int }
	_ = json.Unmarshal([]byte(answer.GetInfo()["info"]), &info)
	return info.Pid
}

// compareStatus finds what must not change.
func (c *container) compareStatus(s *runtime.ContainerStatus, pid int) {
	if c.created == 0 {
		c.created = s.CreatedAt
	}
	if s.CreatedAt != c.created || s.Metadata.Attempt != c.config.Metadata.Attempt || s.Metadata.Name != c.config.Metadata.Name {
		c.fail(c.who, "it was created at %d, now at %d, attempt %d, name %s", c.created, s.CreatedAt, s.Metadata.Attempt, s.Metadata.Name)
	}
	if s.State < c.state || s.State == runtime.ContainerState_CONTAINER_UNKNOWN {
		c.fail(c.who, "it was %v and is %v", c.state, s.State)
	}
	c.state = s.State
	if s.State == runtime.ContainerState_CONTAINER_CREATED {
		return
	}
	if c.started == 0 {
		c.started = s.StartedAt
	}
	if s.StartedAt != c.started {
		c.fail(c.who, "it was started at %d, now at %d", c.started, s.StartedAt)
	}
	if pid != 0 && c.pid == 0 {
		c.pid = pid
	}
	if pid != 0 && pid != c.pid {
		c.fail(c.who, "it had process %d and has %d", c.pid, pid)
	}
	if e := c.exit; e != nil && (s.ExitCode != e.ExitCode || s.FinishedAt != e.FinishedAt || s.Reason != e.Reason || s.Message != e.Message) {
		c.fail(c.who, "it had ended as %v and now as %v", e, s)
	}
}

// ended checks the end of the container when it is seen first: its exit code, and that its log is complete.
func (c *container) ended(s *runtime.ContainerStatus) {
	c.exit = s
	if !c.began() && c.startLost { // the daemon died before the program ran
		if s.ExitCode == 0 {
			c.fail(c.who, "the program never ran, and exit code 0 is reported")
		}
	} else if complaint := c.speaker.ended(int(s.ExitCode)); complaint != "" {
		c.fail(c.who, "%s; %s: %s", complaint, s.Reason, s.Message)
	}
	if s.FinishedAt < s.StartedAt || s.StartedAt < s.CreatedAt {
		c.fail(c.who, "created %d, started %d, finished %d", s.CreatedAt, s.StartedAt, s.FinishedAt)
	}
	if runsWith(c.pid, c.page) {
		c.fail(c.who, "it is exited, and its process %d lives", c.pid)
	}
	c.checkLog()
}

// checkLog compares the log with what the program has written.
func (c *container) checkLog() { c.checkText(c.exit != nil) }

// checkText is checkLog where it is known whether the program has ended.
func (c *container) checkText(ended bool) {
	if err := talklog.Check(c.script.Seed, c.page, c.terminal, !ended, c.with(lateOutput), c.logs...); err != nil {
		c.fail(c.who, "%v", err)
	}
}

// stop ends the container by its stop signal.
func (c *container) stop() {
	if c.removed {
		return
	}
	grace := []int64{0, 1, 3}[c.rng.IntN(3)]
	c.killed, c.told = true, c.told || grace > 0
	c.must(c.who, fmt.Sprintf("StopContainer in %d s", grace), func(ctx context.Context) error {
		_, err := c.cri.StopContainer(ctx, &runtime.StopContainerRequest{ContainerId: c.id, Timeout: grace})
		return err
	})
	c.observe()
	if c.state == runtime.ContainerState_CONTAINER_RUNNING {
		c.fail(c.who, "it runs after it was stopped")
	}
}

// killProgram ends the program behind the daemon's back.
func (c *container) killProgram() {
	if !c.runs() || c.pid == 0 {
		return
	}
	c.notes.note(c.who, "SIGKILL from outside")
	if err := c.kill(c.pid); err != nil {
		c.fail(c.who, "%v", err)
	}
	if c.chance(50) {
		c.awaitExit()
	}
}

// runs asks whether the container runs.
func (c *container) runs() bool {
	c.observe()
	return !c.removed && c.state == runtime.ContainerState_CONTAINER_RUNNING
}

func (c *container) awaitExit() {
	c.await(c.who, "it is exited", func() bool {
		c.observe()
		return c.exit != nil
	})
}

// remove removes the container, which may be running.
func (c *container) remove() {
	if c.removed {
		return
	}
	c.observe()
	c.killed = true
	c.must(c.who, "RemoveContainer", func(ctx context.Context) error {
		_, err := c.cri.RemoveContainer(ctx, &runtime.RemoveContainerRequest{ContainerId: c.id})
		return err
	})
	c.removed = true
	err := c.insist(c.who, "ContainerStatus", func(ctx context.Context) error {
		_, err := c.cri.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: c.id})
		return err
	})
	if status.Code(err) != codes.NotFound {
		c.fail(c.who, "the status of a container that was removed: %v", err)
	}
}

// rotate renames the log, as a kubelet does when it is large, and has it opened anew.
func (c *container) rotate() {
	if !c.runs() || !c.with(rotation) {
		return
	}
	log := c.logs[len(c.logs)-1]
	old := fmt.Sprintf("%s.%d", log, len(c.logs))
	if err := os.Rename(log, old); err != nil {
		return // nothing was printed yet
	}
	c.logs = append(c.logs[:len(c.logs)-1], old, log)
	c.notes.note(c.who, "the log is rotated to %s", old)
	err := c.insist(c.who, "ReopenContainerLog", func(ctx context.Context) error {
		_, err := c.cri.ReopenContainerLog(ctx, &runtime.ReopenContainerLogRequest{ContainerId: c.id})
		return err
	})
	if c.observe(); err != nil && c.exit == nil {
		c.fail(c.who, "ReopenContainerLog: %v", err)
	}
}

func (c *container) stats() {
	if c.removed {
		return
	}
	var got *runtime.ContainerStats
	c.must(c.who, "ContainerStats", func(ctx context.Context) error {
		answer, err := c.cri.ContainerStats(ctx, &runtime.ContainerStatsRequest{ContainerId: c.id})
		got = answer.GetStats()
		return err
	})
	if got.GetAttributes().GetId() != c.id {
		c.fail(c.who, "statistics of %q", got.GetAttributes().GetId())
	}
}

// settle is called when nothing of the container is left but its log, and the events that were sent.
func (c *container) settle() {
	c.await(c.who, "its processes are gone", func() bool { return len(processesWith(c.page)) == 0 })
	c.checkText(true)
	c.checkEvents()
	for _, file := range append(c.logs, c.page) {
		_ = os.Remove(file)
	}
}

// checkEvents compares the ends that were told with each other and with the one that was seen.
func (c *container) checkEvents() {
	c.await(c.who, "its end is told", func() bool { return !c.mustBeTold() || len(c.events.ends(c.id)) > 0 })
	ends := c.events.ends(c.id)
	for _, e := range ends {
		neverRan := c.startLost && !c.began() && e.ExitCode != 0
		if complaint := c.speaker.ended(int(e.ExitCode)); complaint != "" && !neverRan {
			c.fail(c.who, "an event says that %s", complaint)
		}
		if c.exit != nil && (e.ExitCode != c.exit.ExitCode || e.FinishedAt != c.exit.FinishedAt) || e.FinishedAt != ends[0].FinishedAt || e.ExitCode != ends[0].ExitCode {
			c.fail(c.who, "it ended as %v, and these ends were told: %v", c.exit, ends)
		}
	}
}

// mustBeTold tells whether one daemon has seen the container alive and ended, and lived on.
func (c *container) mustBeTold() bool {
	return c.seenAlive != 0 && c.seenAlive == c.seenEnded && c.events.heard(c.seenAlive, c.seenAliveAt) && c.lives.outlived(c.seenEnded, c.seenEndedAt)
}
