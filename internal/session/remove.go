// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/tinyimage"
)

// removeNamespace empties the session's own namespace and deletes it. A step
// that fails does not keep the next from removing what it can.
func (s *Session) removeNamespace(ctx context.Context) error {
	return errors.Join(
		s.removeContainers(ctx),
		s.removeLeases(ctx),
		s.removeImages(ctx),
		s.deleteNamespace(ctx),
		removeCgroups(s.where.Namespace),
	)
}

// removeContainers deletes what an interrupted workload left.
func (s *Session) removeContainers(ctx context.Context) error {
	containers, err := s.Client.Containers(ctx)
	if err != nil {
		return fmt.Errorf("list containers of namespace %s: %w", s.where.Namespace, err)
	}
	var failed []error
	for _, c := range containers {
		failed = append(failed, RemoveContainer(ctx, c))
	}
	return errors.Join(failed...)
}

// RemoveContainer kills and deletes a container's task, if it has one, then
// the container with its snapshot. What is already gone is not an error.
func RemoveContainer(ctx context.Context, c containerd.Container) error {
	task, err := c.Task(ctx, nil)
	if err == nil {
		if _, err = task.Delete(ctx, containerd.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete task of %s: %w", c.ID(), err)
		}
	} else if !errdefs.IsNotFound(err) {
		return fmt.Errorf("look up task of %s: %w", c.ID(), err)
	}
	if err := c.Delete(ctx, containerd.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete container %s: %w", c.ID(), err)
	}
	return nil
}

// removeLeases deletes those of calls that were interrupted: the library ends a
// lease with the context of the call, and it would hold a snapshot for a day.
func (s *Session) removeLeases(ctx context.Context) error {
	service := s.Client.LeasesService()
	list, err := service.List(ctx)
	if err != nil {
		return fmt.Errorf("list leases of namespace %s: %w", s.where.Namespace, err)
	}
	for _, lease := range list {
		if err := service.Delete(ctx, lease); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete lease %s: %w", lease.ID, err)
		}
	}
	return nil
}

func (s *Session) removeImages(ctx context.Context) error {
	list, err := s.Client.ImageService().List(ctx)
	if err != nil {
		return fmt.Errorf("list images of namespace %s: %w", s.where.Namespace, err)
	}
	for _, img := range list {
		if err := s.deleteImage(ctx, img.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) removeImage(ctx context.Context) error {
	return s.deleteImage(ctx, tinyimage.Name)
}

// deleteImage waits for the garbage collection that follows: the image's
// snapshots and content belong to the namespace and keep it from being deleted.
func (s *Session) deleteImage(ctx context.Context, name string) error {
	err := s.Client.ImageService().Delete(ctx, name, images.SynchronousDelete())
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete image %s: %w", name, err)
	}
	return nil
}

// deleteNamespace retries while the daemon still counts objects in it: leases
// of finished calls and what they held go in a collection of their own, and so
// does what a call that was interrupted has made a moment later.
func (s *Session) deleteNamespace(ctx context.Context) error {
	var err error
	for range 50 {
		err = s.Client.NamespaceService().Delete(ctx, s.where.Namespace)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !errdefs.IsFailedPrecondition(err) {
			break
		}
		if err := s.collect(ctx); err != nil {
			return fmt.Errorf("collect garbage in namespace %s: %w", s.where.Namespace, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("delete namespace %s: %w", s.where.Namespace, err)
}

// collect has the daemon collect garbage now. By itself it does so fifty times
// as long after the last time as that took: seconds, where disks are slow.
func (s *Session) collect(ctx context.Context) error {
	service := s.Client.LeasesService()
	lease, err := service.Create(ctx, leases.WithRandomID())
	if err != nil {
		return err
	}
	return service.Delete(ctx, lease, leases.SynchronousDelete)
}
