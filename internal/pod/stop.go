// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/nri"
)

// killTime bounds the wait for a container to end after SIGKILL: a process may be stuck in the kernel.
const killTime = 30 * time.Second

// Stop ends the container: its stop signal, and SIGKILL when it has not ended in grace. It returns when the container is
// exited. nil when it does not run.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error {
	if err := c.stop(ctx, grace); err != nil {
		return err
	}
	op := c.manager.Plugins.Begin()
	defer op.End()
	c.afterwards(ctx, op, (*nri.Operation).StopContainer)
	return nil
}

func (c *Container) stop(ctx context.Context, grace time.Duration) error {
	c.mu.Lock()
	ended := c.ended
	if c.status.State == Created || c.status.State == Exited {
		ended = nil
	}
	c.mu.Unlock()
	if ended == nil {
		return nil
	}
	if grace > 0 {
		if done, err := c.terminate(ctx, ended, grace); done || err != nil {
			return err
		}
	}
	return c.kill(ctx, ended)
}

// terminate sends the stop signal and reports whether the container ended in time.
func (c *Container) terminate(ctx context.Context, ended <-chan struct{}, grace time.Duration) (bool, error) {
	signal, err := c.signal()
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Warn("SIGTERM is sent instead of the stop signal")
		signal = unix.SIGTERM
	}
	if err := c.sendSignal(signal, false); err != nil {
		return false, err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("stop container %s: %w", c.ID, context.Cause(ctx))
	}
}

func (c *Container) kill(ctx context.Context, ended <-chan struct{}) error {
	if err := c.sendSignal(unix.SIGKILL, true); err != nil {
		return err
	}
	timer := time.NewTimer(killTime)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return fmt.Errorf("stop container %s: it does not end after SIGKILL: %w", c.ID, errdefs.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("stop container %s: %w", c.ID, context.Cause(ctx))
	}
}

// sendSignal waits for a start to be over. nil when the container has ended.
func (c *Container) sendSignal(signal unix.Signal, all bool) error {
	c.op.Lock()
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	c.op.Unlock()
	if task == nil {
		return nil
	}
	if err := task.Kill(signal, all); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return fmt.Errorf("stop container %s: %w", c.ID, err)
	}
	return nil
}

// Remove removes the container; a running one is killed. nil when it was removed already.
func (c *Container) Remove(ctx context.Context) error {
	if err := c.Stop(ctx, 0); err != nil {
		return err
	}
	op := c.manager.Plugins.Begin()
	defer op.End()
	return c.remove(ctx, op)
}

func (c *Container) remove(ctx context.Context, plugins *nri.Operation) error {
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	gone := c.removed
	c.removed = true
	c.mu.Unlock()
	if gone {
		return nil
	}
	c.afterwards(ctx, plugins, (*nri.Operation).RemoveContainer)
	if err := c.dismantle(ctx); err != nil {
		c.mu.Lock()
		c.removed = false
		c.mu.Unlock()
		return fmt.Errorf("remove container %s: %w", c.ID, err)
	}
	c.Sandbox.disown(c)
	c.manager.forgetContainer(c)
	c.manager.publish(runtime.ContainerEventType_CONTAINER_DELETED_EVENT, c.ID, c.Sandbox)
	return nil
}

// dismantle undoes what CreateContainer did. After an error it can be tried again.
func (c *Container) dismantle(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	c.deleteTask(ctx)
	c.closeLog()
	if err := c.manager.layers.drop(c.ID); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir()); err != nil {
		return err
	}
	c.mu.Lock()
	views := c.volumeViews
	c.volumeViews = nil
	c.mu.Unlock()
	for _, v := range views {
		v.Release()
	}
	if c.view != nil {
		c.view.Release()
	}
	selinux.ReleaseLabel(c.processLabel)
	return nil
}

func (s *Sandbox) disown(c *Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.ID)
}

// Stop ends the pod: its containers, at once, and its network. It may be called again; nil then.
func (s *Sandbox) Stop(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	return s.stop(ctx)
}

func (s *Sandbox) stop(ctx context.Context) error {
	s.mu.Lock()
	was := s.phase
	s.phase = stopped // no container is started any more
	s.mu.Unlock()
	if err := s.stopContainers(ctx); err != nil {
		return err
	}
	s.afterwards(ctx, (*nri.Operation).StopPodSandbox)
	if err := s.release(ctx); err != nil {
		return fmt.Errorf("stop pod sandbox %s: %w", s.ID, err)
	}
	s.mu.Lock()
	err := s.save()
	s.mu.Unlock()
	if err == nil && was != stopped {
		s.manager.publish(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, s.ID, s)
	}
	return err
}

// stopContainers ends all containers at the same time.
func (s *Sandbox) stopContainers(ctx context.Context) error {
	list := s.Containers()
	errs := make(chan error, len(list))
	for _, c := range list {
		go func() { errs <- c.Stop(ctx, 0) }()
	}
	var err error
	for range list {
		err = errors.Join(err, <-errs)
	}
	return err
}

// release gives back what the pod holds. What is done is not done again.
func (s *Sandbox) release(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := s.endHolder(ctx); err != nil {
		return err
	}
	if netns := s.NetNS(); netns != "" {
		if err := s.manager.Networks.Teardown(ctx, s.ID, netns); err != nil {
			// The network goes on trying; the namespace must not wait for that.
			log.G(ctx).WithError(err).WithField("pod", s.ID).Warn("detach the pod from its network; it is tried again in the background")
		}
	}
	if s.spaces != nil {
		s.spaces.Close()
	}
	return s.manager.spaces.Remove(s.ID)
}

// Remove removes the pod with its containers, stopping what runs. nil when it was removed already.
func (s *Sandbox) Remove(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	s.mu.Lock()
	was := s.phase
	s.mu.Unlock()
	if was != stopped {
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	for _, c := range s.Containers() {
		if err := c.Remove(ctx); err != nil {
			return err
		}
	}
	s.afterwards(ctx, (*nri.Operation).RemovePodSandbox)
	if err := os.RemoveAll(s.dir()); err != nil {
		return fmt.Errorf("remove pod sandbox %s: %w", s.ID, err)
	}
	selinux.ReleaseLabel(s.labels.Process)
	s.manager.forgetSandbox(s)
	s.manager.publish(runtime.ContainerEventType_CONTAINER_DELETED_EVENT, s.ID, s)
	return nil
}
