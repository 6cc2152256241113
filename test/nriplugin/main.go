// SPDX-License-Identifier: Apache-2.0

// Command nriplugin is an NRI plugin for tests. It writes what it hears to a file, adjusts what it is told to
// adjust, and misbehaves when asked to.
//
// Started by a runtime it takes its behaviour from its configuration file; started by a test, with the path
// of the runtime's socket, an index and a name as arguments, from a fourth argument. Both
// are a Behaviour in JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

// Behaviour of the plugin. Requests are named as in NRI: "CreateContainer".
type Behaviour struct {
	Log string // file that gets an Event for each request, one a line

	// For containers that are created; empty means as they are.
	Env, Annotations map[string]string
	Mounts           map[string]string // source by destination, bound read-only
	Shares           uint64            // of the CPU
	OpenFiles        uint64            // RLIMIT_NOFILE
	CDI              []string

	// Others are the CPU shares that containers get, by id, when any is created, updated or stopped.
	Others map[string]uint64
	// Update is what a container's update is changed to.
	Update uint64
	// Unasked are CPU shares that the plugin gives to each container that has started.
	Unasked uint64

	Fail, Hang, Die []string // requests that it refuses, does not answer in time, does not survive
}

// Event is a request.
type Event struct {
	Request    string
	Pod        string   // id
	Container  string   // id
	State      string   // of the container
	Args       []string // of the container
	Env        []string
	Pid        uint32
	IPs        []string // of the pod
	Shares     uint64   // of the container, or those that an update asks for
	Pods       []string // of Synchronize: ids
	Containers []string
	Failed     int // of Unasked: updates that failed
}

type plugin struct {
	stub stub.Stub
	mu   sync.Mutex
	Behaviour
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nriplugin:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	p := &plugin{}
	var opts []stub.Option
	switch len(args) {
	case 0: // the runtime has started it
	case 4:
		opts = append(opts, stub.WithSocketPath(args[0]), stub.WithPluginIdx(args[1]), stub.WithPluginName(args[2]))
		if err := json.Unmarshal([]byte(args[3]), &p.Behaviour); err != nil {
			return err
		}
	default:
		return errors.New("usage: nriplugin [SOCKET INDEX NAME BEHAVIOUR]")
	}
	s, err := stub.New(p, opts...)
	if err != nil {
		return err
	}
	p.stub = s
	return s.Run(context.Background())
}

// heard writes e down and does what the Behaviour says about such requests.
func (p *plugin) heard(e Event) error {
	if err := p.write(e); err != nil {
		return err
	}
	switch {
	case slices.Contains(p.Die, e.Request):
		os.Exit(3)
	case slices.Contains(p.Hang, e.Request):
		time.Sleep(time.Minute)
	case slices.Contains(p.Fail, e.Request):
		return fmt.Errorf("%s is refused, as the test wants it", e.Request)
	}
	return nil
}

func (p *plugin) write(e Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(e)
	if err != nil || p.Log == "" {
		return err
	}
	f, err := os.OpenFile(p.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func ofPod(request string, pod *api.PodSandbox) Event {
	return Event{Request: request, Pod: pod.GetId(), IPs: pod.GetIps()}
}

func ofContainer(request string, pod *api.PodSandbox, c *api.Container) Event {
	return Event{
		Request: request, Pod: pod.GetId(), Container: c.GetId(), State: c.GetState().String(), Args: c.GetArgs(), Env: c.GetEnv(), Pid: c.GetPid(),
		Shares: c.GetLinux().GetResources().GetCpu().GetShares().GetValue(),
	}
}

// Configure takes the configuration of a plugin that the runtime has started.
func (p *plugin) Configure(_ context.Context, config, _, _ string) (stub.EventMask, error) {
	if config != "" {
		if err := json.Unmarshal([]byte(config), &p.Behaviour); err != nil {
			return 0, err
		}
	}
	return 0, p.heard(Event{Request: "Configure"})
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	e := Event{Request: "Synchronize"}
	for _, pod := range pods {
		e.Pods = append(e.Pods, pod.GetId())
	}
	for _, c := range containers {
		e.Containers = append(e.Containers, c.GetId())
	}
	return p.others(), p.heard(e)
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.heard(ofPod("RunPodSandbox", pod))
}

func (p *plugin) UpdatePodSandbox(_ context.Context, pod *api.PodSandbox, _, r *api.LinuxResources) error {
	e := ofPod("UpdatePodSandbox", pod)
	e.Shares = r.GetCpu().GetShares().GetValue()
	return p.heard(e)
}

func (p *plugin) PostUpdatePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.heard(ofPod("PostUpdatePodSandbox", pod))
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.heard(ofPod("StopPodSandbox", pod))
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.heard(ofPod("RemovePodSandbox", pod))
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	return p.adjustment(), p.others(), p.heard(ofContainer("CreateContainer", pod, c))
}

func (p *plugin) adjustment() *api.ContainerAdjustment {
	a := &api.ContainerAdjustment{}
	for key, value := range p.Env {
		a.AddEnv(key, value)
	}
	for key, value := range p.Annotations {
		a.AddAnnotation(key, value)
	}
	for destination, source := range p.Mounts {
		a.AddMount(&api.Mount{Destination: destination, Source: source, Type: "bind", Options: []string{"rbind", "ro"}})
	}
	if p.Shares != 0 {
		a.SetLinuxCPUShares(p.Shares)
	}
	if p.OpenFiles != 0 {
		a.AddRlimit("RLIMIT_NOFILE", p.OpenFiles, p.OpenFiles)
	}
	for _, name := range p.CDI {
		a.AddCDIDevice(&api.CDIDevice{Name: name})
	}
	return a
}

func (p *plugin) others() []*api.ContainerUpdate {
	var updates []*api.ContainerUpdate
	for id, n := range p.Others {
		updates = append(updates, shares(id, n))
	}
	return updates
}

func shares(id string, n uint64) *api.ContainerUpdate {
	u := &api.ContainerUpdate{}
	u.SetContainerId(id)
	u.SetLinuxCPUShares(n)
	return u
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.heard(ofContainer("PostCreateContainer", pod, c))
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.heard(ofContainer("StartContainer", pod, c))
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) error {
	if p.Unasked != 0 {
		go func() {
			failed, err := p.stub.UpdateContainers([]*api.ContainerUpdate{shares(c.GetId(), p.Unasked), shares("nobody", p.Unasked)})
			if err != nil && len(failed) == 0 {
				failed = append(failed, nil)
			}
			_ = p.write(Event{Request: "Unasked", Container: c.GetId(), Failed: len(failed)})
		}()
	}
	return p.heard(ofContainer("PostStartContainer", pod, c))
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, c *api.Container, r *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	e := ofContainer("UpdateContainer", pod, c)
	e.Shares = r.GetCpu().GetShares().GetValue()
	updates := p.others()
	if p.Update != 0 {
		updates = append(updates, shares(c.GetId(), p.Update))
	}
	return updates, p.heard(e)
}

func (p *plugin) PostUpdateContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.heard(ofContainer("PostUpdateContainer", pod, c))
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	return p.others(), p.heard(ofContainer("StopContainer", pod, c))
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.heard(ofContainer("RemoveContainer", pod, c))
}
