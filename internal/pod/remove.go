// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"os"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/nri"
)

// Remove removes the container; a running one is killed. nil when it was removed already. After an error it can be tried
// again, and the container is not started any more.
func (c *Container) Remove(ctx context.Context) error {
	c.mu.Lock()
	c.removing = true
	c.mu.Unlock()
	if err := c.Stop(ctx, 0); err != nil {
		return err
	}
	op := c.manager.Plugins.Begin()
	defer op.End()
	if err := c.remove(ctx, op); err != nil {
		return fmt.Errorf("remove container %s: %w", c.ID, err)
	}
	return nil
}

func (c *Container) remove(ctx context.Context, plugins *nri.Operation) error {
	if err := c.op.take(ctx); err != nil {
		return err
	}
	defer c.op.release()
	c.mu.Lock()
	gone := c.removed
	c.mu.Unlock()
	if gone {
		return nil
	}
	c.afterwards(ctx, plugins, (*nri.Operation).RemoveContainer)
	if err := c.dismantle(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.removed = true
	c.mu.Unlock()
	c.Sandbox.disown(c)
	c.manager.forgetContainer(c)
	c.manager.publish(runtime.ContainerEventType_CONTAINER_DELETED_EVENT, c.ID, c.Sandbox)
	return nil
}

// dismantle undoes what CreateContainer did, what Start did being undone. After an error it can be tried again.
func (c *Container) dismantle(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := c.deleteTask(ctx); err != nil {
		return err
	}
	c.closeLog()
	if err := c.manager.took(fault.RemoveLayer, func() error { return c.manager.layers.drop(c.ID) }); err != nil {
		return err
	}
	if err := c.manager.took(fault.RemoveRecord, func() error { return os.RemoveAll(c.dir()) }); err != nil {
		return err
	}
	c.letGo()
	return nil
}

// letGo gives back what c holds in memory.
func (c *Container) letGo() {
	for _, v := range append(c.volumeViews, c.view) {
		if v != nil {
			v.Release()
		}
	}
	c.manager.labels.drop(c.processLabel)
}

func (s *Sandbox) disown(c *Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.ID)
}
