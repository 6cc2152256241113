// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// Start runs the container's program. A container whose program cannot be run is exited, with a reason.
func (c *Container) Start(ctx context.Context) error {
	op := c.manager.Plugins.Begin()
	defer op.End()
	if err := c.start(ctx, op); err != nil {
		return err
	}
	c.afterwards(ctx, op, (*nri.Operation).PostStartContainer)
	return nil
}

func (c *Container) start(ctx context.Context, plugins *nri.Operation) error {
	if err := c.op.take(ctx); err != nil {
		return fmt.Errorf("start container %s: %w", c.ID, err)
	}
	defer c.op.release()
	if err := c.beginStart(); err != nil {
		return err
	}
	task, err := c.launch(ctx, plugins)
	if err != nil {
		c.failStart(ctx, err)
		return fmt.Errorf("start container %s: %w", c.ID, err)
	}
	c.runs(ctx, task)
	c.manager.publish(runtime.ContainerEventType_CONTAINER_STARTED_EVENT, c.ID, c.Sandbox)
	return nil
}

// beginStart makes c Starting. Who stops the pod comes before, and c is not started, or after, and waits for c.
func (c *Container) beginStart() error {
	s := c.Sandbox
	held := s.held()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != ready || !held {
		return unready("pod sandbox %s of container %s is not ready", s.ID, c.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removing {
		return unready("container %s is being removed", c.ID)
	}
	if c.status.State != Created {
		return unready("container %s is %s, not created", c.ID, c.status.State)
	}
	c.status.State, c.status.Started = Starting, time.Now()
	if err := c.manager.took(fault.StartRecord, c.save); err != nil {
		c.status.State, c.status.Started = Created, time.Time{}
		return err
	}
	c.ended = make(chan struct{})
	return nil
}

// runs makes c Running, and sets the limits that were asked for while it was being started.
func (c *Container) runs(ctx context.Context, task *container.Container) {
	c.limits.Lock()
	defer c.limits.Unlock()
	c.mu.Lock()
	c.status.State, c.task, c.spec, c.joined = Running, task, nil, nil // it is not started again
	pending := c.pending
	c.pending = nil
	err := c.save()
	c.mu.Unlock()
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("write down that the container runs")
	}
	if pending == nil {
		return
	}
	if err := task.Update(pending); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("limits of a container that was being started")
	}
}

// failStart makes c exited because its program could not be run.
func (c *Container) failStart(ctx context.Context, cause error) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := c.deleteTask(ctx); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("clear away a container that could not be started; its removal tries again")
	}
	c.closeLog()
	c.finish(status{Finished: time.Now(), ExitCode: exitCannotRun, Reason: reasonCannotRun, Message: cause.Error()}, false)
	c.tellEnd()
}

// launch makes the task and starts it.
func (c *Container) launch(ctx context.Context, plugins *nri.Operation) (*container.Container, error) {
	var task *container.Container
	return task, c.manager.inOrder(ctx, []step{
		{func(context.Context) error { return c.openLog(false) }, fault.StartLog},
		{func(ctx context.Context) (err error) { task, err = c.makeTask(ctx); return err }, fault.StartTask},
		{func(ctx context.Context) error { return c.tellStart(ctx, plugins, task) }, fault.StartPlugins},
		{func(ctx context.Context) error { return task.Start(ctx) }, fault.StartProgram},
	})
}

func (c *Container) makeTask(ctx context.Context) (*container.Container, error) {
	written, text, err := c.readSpec()
	if err != nil {
		return nil, err
	}
	spec, text, err := c.rejoin(written, text)
	if err != nil {
		return nil, err
	}
	file := ""
	if spec == written {
		file = filepath.Join(c.dir(), specName)
	}
	mounts, err := c.rootfs(spec)
	if err != nil {
		return nil, err
	}
	trees, err := c.openTrees(spec.Linux.MountLabel)
	defer closeTrees(trees)
	if err != nil {
		return nil, err
	}
	handler := c.Sandbox.handler
	return c.manager.Containers.Create(ctx, &container.Request{
		Namespace: Namespace, ID: c.ID, Spec: text, SpecFile: file, Parsed: spec, Rootfs: mounts, Trees: trees, Stdio: c.streams(),
		CgroupDriver: handler.CgroupDriver, NoPivotRoot: handler.NoPivotRoot, NoNewKeyring: handler.NoNewKeyring,
	})
}

// tellStart asks NRI plugins whether the program may run.
func (c *Container) tellStart(ctx context.Context, plugins *nri.Operation, task *container.Container) error {
	return c.toPlugins(plugins, func(p *nri.Pod, n *nri.Container) error {
		n.Pid = task.Pid()
		return plugins.StartContainer(ctx, p, n)
	})
}

// rootfs is the image with the container's writable layer.
func (c *Container) rootfs(spec *specs.Spec) ([]rootfs.Mount, error) {
	if c.view == nil {
		return nil, unready("the image %s of container %s is gone", c.image.ID, c.ID)
	}
	l := c.manager.layers.of(c.ID)
	mounts, err := c.view.Mounts(l.upper(), l.work())
	if err != nil {
		return nil, err
	}
	root := &mounts[len(mounts)-1]
	relabel(root, spec.Linux.MountLabel)
	if c.Sandbox.users == nil {
		return mounts, nil
	}
	root.Options = append(append([]string{}, root.Options...),
		"uidmap="+mapOption(spec.Linux.UIDMappings), "gidmap="+mapOption(spec.Linux.GIDMappings))
	return mounts, nil
}

func mapOption(maps linuxMappings) (text string) {
	for i, m := range maps {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size)
	}
	return text
}

// openLog makes the FIFOs and begins to read them. started says that an earlier daemon has started the container.
func (c *Container) openLog(started bool) error {
	streams := c.streams()
	for _, path := range []string{streams.Stdin, streams.Stdout, streams.Stderr} {
		if path == "" || started {
			continue
		}
		if err := podlog.MakeFIFO(path); err != nil {
			return err
		}
	}
	if err := fault.Point(fault.LogFIFOs); err != nil {
		return err
	}
	l, err := c.manager.Logs.Open(podlog.Config{ID: c.ID, Stdout: streams.Stdout, Stderr: streams.Stderr, Path: c.logPath(), Started: started})
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	c.mu.Lock()
	c.log = l
	c.mu.Unlock()
	return nil
}

// openTrees opens the mounts of the container that are no paths of the host. label is for the files of images.
func (c *Container) openTrees(label string) (map[string]*os.File, error) {
	trees := map[string]*os.File{}
	if !c.Sandbox.hostIPC {
		shm, err := c.Sandbox.spaces.SHM()
		if err != nil {
			return trees, err
		}
		trees[shmSource] = shm
	}
	for i, m := range imageVolumes(c.Config()) {
		tree, err := c.openImageVolume(c.volumeViews[i], m, label)
		if err != nil {
			return trees, fmt.Errorf("image volume %s: %w", m.ContainerPath, err)
		}
		trees[imageSource+m.ContainerPath] = tree
	}
	return trees, nil
}

func closeTrees(trees map[string]*os.File) {
	for _, f := range trees {
		f.Close()
	}
}
