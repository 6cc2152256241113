// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/nri/pkg/adaptation"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// synchronize tells a plugin, or those installed, what there is, while no operation is under way. tell
// sends it. Containers that have ended are left out.
func (a *Adaptation) synchronize(ctx context.Context, tell adaptation.SyncCB) error {
	if !a.Active() {
		a.known.forget()
	}
	if a.nobody.CompareAndSwap(true, false) { // to list a thousand pods takes a while
		_, err := tell(ctx, nil, nil)
		return err
	}
	pods, containers := a.callbacks.List()
	podMessages := make([]*adaptation.PodSandbox, 0, len(pods))
	for _, p := range pods {
		podMessages = append(podMessages, p.message())
		a.known.add(p.ID, p.Stopped)
	}
	messages := make([]*adaptation.Container, 0, len(containers))
	for _, c := range containers {
		if c.State == runtime.ContainerState_CONTAINER_CREATED || c.State == runtime.ContainerState_CONTAINER_RUNNING {
			messages = append(messages, c.message())
			a.known.add(c.ID, false)
		}
	}
	updates, err := tell(ctx, podMessages, messages)
	if err != nil {
		return err
	}
	a.applyUpdates(ctx, updates)
	return nil
}

// update is called by a plugin, at any time. It returns the updates that failed.
func (a *Adaptation) update(ctx context.Context, updates []*adaptation.ContainerUpdate) ([]*adaptation.ContainerUpdate, error) {
	failed := a.applyUpdates(ctx, updates)
	if len(failed) > 0 {
		return failed, fmt.Errorf("%d of %d container updates failed: %w", len(failed), len(updates), errdefs.ErrFailedPrecondition)
	}
	return nil, nil
}

// applyUpdates returns those that failed and whose failure the plugin does not ignore. Containers that
// are gone are none of them. Only a plugin can do something about the others, so they are logged and fail
// no operation.
func (a *Adaptation) applyUpdates(ctx context.Context, updates []*adaptation.ContainerUpdate) (failed []*adaptation.ContainerUpdate) {
	for _, u := range updates {
		r := u.GetLinux().GetResources()
		if r == nil {
			continue
		}
		err := a.callbacks.Update(ctx, u.GetContainerId(), resourcesOf(r))
		if err == nil || errdefs.IsNotFound(err) {
			continue
		}
		log.G(ctx).WithError(err).WithField("container", u.GetContainerId()).Warn("nri: a plugin's update of a container failed")
		if !u.GetIgnoreFailure() {
			failed = append(failed, u)
		}
	}
	return failed
}
