// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
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
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.beginStart(); err != nil {
		return err
	}
	task, err := c.launch(ctx, plugins)
	if err != nil {
		c.failStart(ctx, err)
		return fmt.Errorf("start container %s: %w", c.ID, err)
	}
	c.mu.Lock()
	c.status.State, c.task, c.spec = Running, task, nil
	err = c.save()
	c.mu.Unlock()
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("write down that the container runs")
	}
	c.manager.publish(runtime.ContainerEventType_CONTAINER_STARTED_EVENT, c.ID, c.Sandbox)
	return nil
}

func (c *Container) beginStart() error {
	if !c.Sandbox.Status().Ready {
		return unready("pod sandbox %s of container %s is not ready", c.Sandbox.ID, c.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed {
		return notFound("container %s", c.ID)
	}
	if c.status.State != Created {
		return unready("container %s is %s, not created", c.ID, c.status.State)
	}
	c.status.State, c.status.Started, c.ended = Starting, time.Now(), make(chan struct{})
	return c.save()
}

// failStart makes c exited because its program could not be run.
func (c *Container) failStart(ctx context.Context, cause error) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	c.deleteTask(ctx)
	c.closeLog()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(time.Now(), exitCannotRun, reasonCannotRun, cause.Error())
}

// launch makes the task and starts it.
func (c *Container) launch(ctx context.Context, plugins *nri.Operation) (*container.Container, error) {
	spec, text, err := c.readSpec()
	if err != nil {
		return nil, err
	}
	if err := c.openLog(); err != nil {
		return nil, err
	}
	trees, err := c.openTrees(ctx)
	defer closeTrees(trees)
	if err != nil {
		return nil, err
	}
	mounts, err := c.rootfs(spec)
	if err != nil {
		return nil, err
	}
	handler := c.Sandbox.handler
	task, err := c.manager.Containers.Create(ctx, &container.Request{
		Namespace: Namespace, ID: c.ID, Spec: text, Parsed: spec, Rootfs: mounts, Trees: trees, Stdio: c.streams(),
		CgroupDriver: handler.CgroupDriver, NoPivotRoot: handler.NoPivotRoot, NoNewKeyring: handler.NoNewKeyring,
	})
	if err != nil {
		return nil, err
	}
	err = c.toPlugins(plugins, func(p *nri.Pod, n *nri.Container) error {
		n.Pid = task.Pid()
		return plugins.StartContainer(ctx, p, n)
	})
	if err != nil {
		return nil, err
	}
	return task, task.Start(ctx)
}

// rootfs is the image with the container's writable layer.
func (c *Container) rootfs(spec *specs.Spec) ([]rootfs.Mount, error) {
	l := c.manager.layers.of(c.ID)
	mounts, err := c.view.Mounts(l.upper(), l.work())
	if err != nil || len(mounts) == 0 || userNamespace(c.Sandbox.Config) == nil {
		return mounts, err
	}
	root := &mounts[len(mounts)-1]
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

// openLog makes the FIFOs and begins to read them.
func (c *Container) openLog() error {
	streams := c.streams()
	for _, path := range []string{streams.Stdin, streams.Stdout, streams.Stderr} {
		if path == "" {
			continue
		}
		if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("mkfifo %s: %w", path, err)
		}
	}
	l, err := c.manager.Logs.Open(podlog.Config{ID: c.ID, Stdout: streams.Stdout, Stderr: streams.Stderr, Path: c.logPath()})
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	c.mu.Lock()
	c.log = l
	c.mu.Unlock()
	return nil
}

// openTrees opens the mounts of the container that are no paths of the host.
func (c *Container) openTrees(ctx context.Context) (map[string]*os.File, error) {
	trees := map[string]*os.File{}
	if security(c.Sandbox.Config).GetNamespaceOptions().GetIpc() != runtime.NamespaceMode_NODE {
		shm, err := c.Sandbox.spaces.SHM()
		if err != nil {
			return trees, err
		}
		trees[shmSource] = shm
	}
	for _, m := range c.Config.Mounts {
		if m.GetImage().GetImage() == "" {
			continue
		}
		tree, err := c.openImageVolume(ctx, m)
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
