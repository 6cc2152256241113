// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// pod is a sandbox with what a kubelet remembers of it.
type pod struct {
	*worker
	who        string
	config     *runtime.PodSandboxConfig
	id         string
	created    int64
	ip         string // "" in the node's network
	containers []*container
	stopped    bool
}

// uidLabel is how a kubelet finds its sandboxes again.
const uidLabel = "io.kubernetes.pod.uid"

// podLife is a pod from beginning to end.
func (w *worker) podLife() {
	p := w.newPod()
	p.run()
	for range 1 + w.rng.IntN(3) {
		p.addContainer()
	}
	for range w.rng.IntN(14) {
		p.step()
		w.pause(800 * time.Millisecond)
		if w.over.Load() {
			break
		}
	}
	p.end()
	for _, c := range p.containers {
		c.settle()
	}
}

func (w *worker) newPod() *pod {
	name := fmt.Sprintf("pod-%d", w.count.Add(1))
	p := &pod{worker: w, who: name}
	p.config = &runtime.PodSandboxConfig{
		Metadata:     &runtime.PodSandboxMetadata{Name: name, Namespace: "chaos", Uid: w.Namespace + "-" + name},
		Labels:       map[string]string{uidLabel: w.Namespace + "-" + name},
		LogDirectory: filepath.Join(w.Logs, name),
		Linux: &runtime.LinuxPodSandboxConfig{
			CgroupParent:    w.Cgroup,
			SecurityContext: &runtime.LinuxSandboxSecurityContext{NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER}},
		},
	}
	ns := p.config.Linux.SecurityContext.NamespaceOptions
	if !w.with(bridge) || !w.chance(30) {
		ns.Network = runtime.NamespaceMode_NODE
	}
	switch dice := w.rng.IntN(10); {
	case dice < 2:
		ns.Pid = runtime.NamespaceMode_POD
	case dice < 3:
		ns.Pid = runtime.NamespaceMode_NODE
	}
	if err := os.MkdirAll(p.config.LogDirectory, 0o755); err != nil {
		w.fail(p.who, "%v", err)
	}
	return p
}

func (p *pod) onHost() bool {
	return p.config.Linux.SecurityContext.NamespaceOptions.Network == runtime.NamespaceMode_NODE
}

// run makes the sandbox. What became of a call that was lost is found out by listing, as a kubelet does.
func (p *pod) run() {
	for {
		lost, err := p.call(p.who, fmt.Sprintf("RunPodSandbox of attempt %d", p.config.Metadata.Attempt), func(ctx context.Context) error {
			answer, err := p.cri.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: p.config})
			p.id = answer.GetPodSandboxId()
			return err
		})
		if err != nil && !lost {
			p.fail(p.who, "RunPodSandbox: %v", err)
		}
		if err == nil || p.find() {
			break
		}
	}
	p.check()
}

// find looks for the sandbox that a call may have made.
func (p *pod) find() bool {
	var list []*runtime.PodSandbox
	p.must(p.who, "ListPodSandbox", func(ctx context.Context) error {
		answer, err := p.cri.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{
			Filter: &runtime.PodSandboxFilter{LabelSelector: map[string]string{uidLabel: p.config.Metadata.Uid}},
		})
		list = answer.GetItems()
		return err
	})
	if len(list) == 0 {
		return false
	}
	if len(list) > 1 || list[0].State != runtime.PodSandboxState_SANDBOX_READY || list[0].Metadata.Attempt != p.config.Metadata.Attempt {
		p.fail(p.who, "a call that was lost has made %v", list)
	}
	p.id = list[0].Id
	return true
}

// check compares the sandbox with what is remembered.
func (p *pod) check() {
	var s *runtime.PodSandboxStatus
	p.must(p.who, "PodSandboxStatus", func(ctx context.Context) error {
		answer, err := p.cri.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: p.id})
		s = answer.GetStatus()
		return err
	})
	if p.created == 0 {
		p.created, p.ip = s.CreatedAt, s.GetNetwork().GetIp()
		p.notes.note(p.who, "sandbox %s, IP %q", p.id, p.ip)
		if p.onHost() != (p.ip == "") {
			p.fail(p.who, "a pod has the IP %q", p.ip)
		}
	}
	want := runtime.PodSandboxState_SANDBOX_READY
	if p.stopped {
		want = runtime.PodSandboxState_SANDBOX_NOTREADY
	}
	if s.State != want || s.CreatedAt != p.created || s.Metadata.Attempt != p.config.Metadata.Attempt {
		p.fail(p.who, "the sandbox is %v, created at %d, attempt %d; was created at %d", s.State, s.CreatedAt, s.Metadata.Attempt, p.created)
	}
	if s.GetNetwork().GetIp() != p.ip && !p.stopped {
		p.fail(p.who, "the IP is %q, was %q", s.GetNetwork().GetIp(), p.ip)
	}
}

// reach tries to connect to the pod, where nobody listens: the pod's kernel says so.
func (p *pod) reach() {
	if p.ip == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	conn, err := p.Place.Dial(ctx, "tcp", p.ip+":9")
	if err == nil {
		conn.Close()
	}
	p.alive()
	if !errors.Is(err, syscall.ECONNREFUSED) {
		p.fail(p.who, "%s cannot be reached: %v", p.ip, err)
	}
}

// step does one of the things that are done to pods while they live.
func (p *pod) step() {
	c := p.containers[p.rng.IntN(len(p.containers))]
	switch dice := p.rng.IntN(100); {
	case dice < 15:
		p.check()
		p.reach()
	case dice < 35:
		c.start()
	case dice < 50:
		c.exec()
	case dice < 60:
		c.stop()
	case dice < 66:
		c.killProgram()
	case dice < 74:
		c.rotate()
	case dice < 80:
		c.attach()
	case dice < 86:
		c.stats()
	case dice < 92:
		p.again(c)
	default:
		c.observe()
		c.checkLog()
	}
}

// again is what a kubelet does when a container has ended: the next attempt.
func (p *pod) again(c *container) {
	if c.observe(); c.exit == nil || c.removed || c != p.latest(c.config.Metadata.Name) {
		return
	}
	if p.chance(50) {
		c.remove()
	}
	p.createContainer(c.config.Metadata.Name, c.config.Metadata.Attempt+1)
}

func (p *pod) latest(name string) (last *container) {
	for _, c := range p.containers {
		if c.config.Metadata.Name == name {
			last = c
		}
	}
	return last
}

// end stops and removes the pod in one of the ways in which it may be done.
func (p *pod) end() {
	switch p.rng.IntN(3) {
	case 0: // one after the other
		for _, c := range p.containers {
			c.stop()
			c.remove()
		}
		p.stop()
	case 1:
		p.stop()
	}
	for _, c := range p.containers {
		c.killed, c.told = true, true
	}
	p.must(p.who, "RemovePodSandbox", func(ctx context.Context) error {
		_, err := p.cri.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: p.id})
		return err
	})
	err := p.insist(p.who, "PodSandboxStatus", func(ctx context.Context) error {
		_, err := p.cri.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: p.id})
		return err
	})
	if status.Code(err) != codes.NotFound {
		p.fail(p.who, "the status of a sandbox that was removed: %v", err)
	}
}

// stop ends all containers.
func (p *pod) stop() {
	for _, c := range p.containers {
		c.killed, c.told = true, true
	}
	p.must(p.who, "StopPodSandbox", func(ctx context.Context) error {
		_, err := p.cri.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: p.id})
		return err
	})
	p.stopped = true
	p.check()
	for _, c := range p.containers {
		if c.observe(); c.started != 0 && c.exit == nil && !c.removed {
			c.fail(c.who, "it runs in a pod that was stopped")
		}
	}
}
