// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// noGrace is what a program has in a life before SIGKILL, in seconds: nothing, so that it gets no other signal. SIGTERM
// is lost on a program that is pid 1 and has not set up its handler yet, which after such a short life happens
// to one in ten, and then the grace would be what is measured.
const noGrace = 0

const (
	// containerPort is what a port of the node is mapped to; nobody listens there.
	containerPort = 80
	// portRange is how many ports of the node are used in turns.
	portRange = 10000
	maxPort   = 65535
	// maxSaid is how much of what a failed command said is in the error.
	maxSaid = 200
)

// podLife takes a pod with one container from RunPodSandbox to
// RemovePodSandbox. It is to pods what life is to containers.
func (w *worker) podLife(ctx context.Context, id string) error {
	ctx, cancel := w.run.bounded(ctx)
	defer cancel()
	p := w.run.pods.newPod(id, w.run.options)
	var times recorder
	if err := p.live(ctx, &times); err != nil {
		return errors.Join(err, p.remove(ctx))
	}
	w.times.merge(&times)
	return nil
}

func (c *podClient) newPod(id string, o Options) *pod {
	p := &pod{client: c, options: o, config: c.podConfig(id, o.Network)}
	if o.Port > 0 {
		p.config.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: containerPort, HostPort: c.nextPort(o.Port)}}
	}
	p.only = p.containerConfig()
	return p
}

// podConfig is what a kubelet would ask for, but for the cgroup: the runtime's
// default parent is there on every node.
func (c *podClient) podConfig(id, network string) *cri.PodSandboxConfig {
	options := &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}
	if network == NetworkHost {
		options.Network = cri.NamespaceMode_NODE
	}
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: id, Namespace: "sardine-stress", Uid: c.run + "-" + id},
		Hostname:     hostname(id, network),
		LogDirectory: c.dir,
		Labels:       map[string]string{runLabel: c.run},
		Linux:        &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: options}},
	}
}

// nextPort returns a port that none of the last pods has.
func (c *podClient) nextPort(first int) int32 {
	return int32(first) + (c.ports.Add(1)-1)%portRange
}

// hostname is empty for a pod in the node's network, which has the node's name.
func hostname(id, network string) string {
	if network == NetworkHost {
		return ""
	}
	return id
}

// pod is one pod on its way through life.
type pod struct {
	client        *podClient
	options       Options
	config        *cri.PodSandboxConfig
	only          *cri.ContainerConfig // of its one container
	id, container string
}

func (p *pod) live(ctx context.Context, times *recorder) error {
	watch := newStopwatch()
	if err := p.rise(ctx, times, watch); err != nil {
		return err
	}
	times.add(PodReady, watch.total())
	if err := p.execs(ctx, times); err != nil {
		return err
	}
	watch.lap()
	if err := p.fall(ctx, times, watch); err != nil {
		return err
	}
	times.add(Total, watch.total())
	return nil
}

// rise is a pod's life up to the running program.
func (p *pod) rise(ctx context.Context, times *recorder, watch *stopwatch) error {
	sandbox, err := p.client.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config, RuntimeHandler: p.options.Handler})
	if err != nil {
		return failed("run pod sandbox", err)
	}
	p.id = sandbox.PodSandboxId
	times.add(RunPodSandbox, watch.lap())
	container, err := p.client.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.id, SandboxConfig: p.config, Config: p.only,
	})
	if err != nil {
		return failed("create container", err)
	}
	p.container = container.ContainerId
	created := watch.lap()
	times.add(CreateContainer, created)
	if _, err := p.client.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: p.container}); err != nil {
		return failed("start container", err)
	}
	started := watch.lap()
	times.add(Start, started)
	times.add(CreateStart, created+started)
	return nil
}

func (p *pod) containerConfig() *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"},
		Image:    &cri.ImageSpec{Image: p.client.image, UserSpecifiedImage: p.client.image},
		Command:  sleepArgs,
		LogPath:  p.config.Metadata.Name + ".log",
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
		}},
	}
}

// execs runs the wanted number of further processes.
func (p *pod) execs(ctx context.Context, times *recorder) error {
	for range p.options.Execs {
		if err := p.exec(ctx, times); err != nil {
			return err
		}
	}
	return nil
}

// exec executes the command once. It must succeed, within the time that a life has.
func (p *pod) exec(ctx context.Context, times *recorder) error {
	command := p.options.command()
	began := time.Now()
	done, err := p.client.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: p.container, Cmd: command, Timeout: int64(math.Ceil(p.options.Timeout.Seconds()))})
	took := time.Since(began)
	if err != nil {
		return failed("exec "+command[0], err)
	}
	if err := expect(uint32(done.ExitCode), nil, 0); err != nil {
		said := bytes.TrimSpace(append(done.Stdout, done.Stderr...))
		return fmt.Errorf("exec %s: %w: %s", command[0], err, said[:min(len(said), maxSaid)])
	}
	times.add(Exec, took)
	return nil
}

// fall is the rest of a pod's life.
func (p *pod) fall(ctx context.Context, times *recorder, watch *stopwatch) error {
	if err := p.stop(ctx, noGrace, times, watch); err != nil {
		return err
	}
	return p.vanish(ctx, times, watch)
}

// stop stops the container, then the pod, as a kubelet does.
func (p *pod) stop(ctx context.Context, grace int64, times *recorder, watch *stopwatch) error {
	if _, err := p.client.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: p.container, Timeout: grace}); err != nil {
		return failed("stop container", err)
	}
	times.add(StopContainer, watch.lap())
	if _, err := p.client.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return failed("stop pod sandbox", err)
	}
	times.add(StopPodSandbox, watch.lap())
	return nil
}

// vanish removes the stopped pod with its container.
func (p *pod) vanish(ctx context.Context, times *recorder, watch *stopwatch) error {
	if _, err := p.client.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return failed("remove pod sandbox", err)
	}
	times.add(RemovePodSandbox, watch.lap())
	return nil
}

// remove removes what there is, after an error.
func (p *pod) remove(ctx context.Context) error {
	if p.id == "" {
		return nil
	}
	return p.client.removePod(ctx, p.id)
}
