// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/nri"
)

// Stop ends the pod: its containers, at once, and its network. nil when it was stopped already. After an error it is not
// ready any more, and Stop can be tried again.
func (s *Sandbox) Stop(ctx context.Context) error {
	if err := s.op.take(ctx); err != nil {
		return fmt.Errorf("stop pod sandbox %s: %w", s.ID, err)
	}
	defer s.op.release()
	return s.stop(ctx)
}

func (s *Sandbox) stop(ctx context.Context) error {
	s.mu.Lock()
	done := s.phase == stopped || s.phase == removed
	s.mu.Unlock()
	if done {
		return nil
	}
	begin := func(ctx context.Context) error { s.beginStop(ctx); return nil }
	for _, step := range []step{{begin, fault.StopRecord}, {s.stopContainers, fault.StopContainers}} {
		if err := s.manager.take(ctx, step); err != nil {
			return err
		}
	}
	s.afterwards(ctx, (*nri.Operation).StopPodSandbox)
	if err := s.release(ctx); err != nil {
		return fmt.Errorf("stop pod sandbox %s: %w", s.ID, err)
	}
	s.mu.Lock()
	s.phase = stopped // a later daemon sees that the namespaces are gone
	s.mu.Unlock()
	s.manager.publish(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, s.ID, s)
	return nil
}

// beginStop makes the sandbox stopping, which is all that is written down of a stop. It goes on without a record if need be: the
// end of a pod must not depend on room for it.
func (s *Sandbox) beginStop(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == stopping {
		return
	}
	s.phase = stopping
	if err := s.save(); err != nil {
		log.G(ctx).WithError(err).WithField("id", s.ID).Warn("write down that a pod sandbox is being stopped")
	}
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
	for _, step := range []step{{s.endHolder, fault.StopHolder}, {s.detach, fault.StopNetwork}, {s.unpin, fault.StopSpaces}} {
		if err := s.manager.take(ctx, step); err != nil { // a network that takes all the time keeps nobody from the rest
			return err
		}
	}
	return nil
}

// detach takes the pod off its networks. Those go on trying when they fail: the namespace must not wait for that.
func (s *Sandbox) detach(ctx context.Context) error {
	if s.HostNetwork() {
		return nil
	}
	if err := s.manager.Networks.Teardown(ctx, s.ID, s.NetNS()); err != nil {
		log.G(ctx).WithError(err).WithField("pod", s.ID).Warn("detach the pod from its network; it is tried again in the background")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.network = nil
	return nil
}

// unpin lets go of the namespaces.
func (s *Sandbox) unpin(context.Context) error {
	if s.spaces != nil {
		s.spaces.Close()
	}
	return s.manager.spaces.Drop(s.ID)
}

// Remove removes the pod with its containers, stopping what runs. nil when it was removed already. After an error it can
// be tried again.
func (s *Sandbox) Remove(ctx context.Context) error {
	if err := s.op.take(ctx); err != nil {
		return fmt.Errorf("remove pod sandbox %s: %w", s.ID, err)
	}
	defer s.op.release()
	s.mu.Lock()
	gone := s.phase == removed
	s.mu.Unlock()
	if gone {
		return nil
	}
	if err := s.stop(ctx); err != nil {
		return err
	}
	if err := s.manager.take(ctx, step{s.removeContainers, fault.ForgetMembers}); err != nil {
		return err
	}
	s.afterwards(ctx, (*nri.Operation).RemovePodSandbox)
	if err := s.manager.took(fault.ForgetRecord, func() error { return os.RemoveAll(s.dir()) }); err != nil {
		return fmt.Errorf("remove pod sandbox %s: %w", s.ID, err)
	}
	s.mu.Lock()
	s.phase = removed
	s.mu.Unlock()
	s.manager.labels.drop(s.labels.Process)
	s.manager.forgetSandbox(s)
	s.manager.publish(runtime.ContainerEventType_CONTAINER_DELETED_EVENT, s.ID, s)
	return nil
}

func (s *Sandbox) removeContainers(ctx context.Context) error {
	for _, c := range s.Containers() {
		if err := c.Remove(ctx); err != nil {
			return err
		}
	}
	return nil
}
