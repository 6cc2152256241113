// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stopGrace is what a program has before SIGKILL, in seconds: nothing, so that it gets no other signal. SIGTERM
// is lost on a program that is pid 1 and has not set up its handler yet, which after such a short life happens
// to one in ten, and then the grace would be what is measured.
const stopGrace = 0

// podLife takes a pod with one container from RunPodSandbox to
// RemovePodSandbox. It is to pods what life is to containers.
func (w *worker) podLife(ctx context.Context, id string) error {
	ctx, cancel := w.run.bounded(ctx)
	defer cancel()
	p := &pod{client: w.run.pods, options: w.run.options, config: w.run.pods.podConfig(id, w.run.options.Network)}
	var times recorder
	if err := p.live(ctx, &times); err != nil {
		return errors.Join(err, p.remove(ctx))
	}
	w.times.merge(&times)
	return nil
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
		LogDirectory: c.logs,
		Labels:       map[string]string{runLabel: c.run},
		Linux:        &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: options}},
	}
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
		PodSandboxId: p.id, SandboxConfig: p.config, Config: p.containerConfig(),
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
		began := time.Now()
		done, err := p.client.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: p.container, Cmd: []string{"/bin/true"}, Timeout: 10})
		if err == nil {
			err = expect(uint32(done.ExitCode), nil, 0)
		}
		if err != nil {
			return failed("exec", err)
		}
		times.add(Exec, time.Since(began))
	}
	return nil
}

// fall is the rest of a pod's life.
func (p *pod) fall(ctx context.Context, times *recorder, watch *stopwatch) error {
	if _, err := p.client.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: p.container, Timeout: stopGrace}); err != nil {
		return failed("stop container", err)
	}
	times.add(StopContainer, watch.lap())
	if _, err := p.client.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return failed("stop pod sandbox", err)
	}
	times.add(StopPodSandbox, watch.lap())
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
