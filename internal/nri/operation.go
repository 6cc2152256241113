// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/adaptation"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Operation is one change of a pod or container. No plugin becomes active meanwhile, so that it
// never sees the second half of something whose first half it was not told of. A nil Operation has
// no plugins.
type Operation struct {
	a     *Adaptation
	block *adaptation.PluginSyncBlock
}

// Begin waits until no plugin is being synchronized. Call it before locking the pod or container, and
// not within another operation: the second one would wait for a plugin that waits for the first.
// An operation shall be short, and not hold the time that a container has to end: while
// a plugin waits for its End, all that begin later wait for the plugin.
func (a *Adaptation) Begin() *Operation {
	if a == nil || a.nri == nil {
		return nil
	}
	return &Operation{a: a, block: a.nri.BlockPluginSync()}
}

// End lets plugins connect again. It may be called twice.
func (op *Operation) End() {
	if op != nil {
		op.block.Unblock()
	}
}

// Active reports whether any plugin wants to know: if not, the descriptions for the other methods
// need not be made. It may go over to false during the operation, not to true.
func (op *Operation) Active() bool { return op != nil && op.a.Active() }

// RunPodSandbox tells that a pod's namespaces and network are there. After an error the pod must not run; the
// plugins have been told so.
func (op *Operation) RunPodSandbox(ctx context.Context, p *Pod) error {
	if !op.Active() {
		return nil
	}
	op.a.known.add(p.ID, false)
	err := op.a.nri.RunPodSandbox(ctx, &adaptation.RunPodSandboxRequest{Pod: p.message()})
	if err == nil {
		return nil
	}
	return errors.Join(failed("run", "pod", p.ID, err), op.StopPodSandbox(ctx, p), op.RemovePodSandbox(ctx, p))
}

// UpdatePodSandbox tells of a request to change a pod's resources; an error refuses it.
func (op *Operation) UpdatePodSandbox(ctx context.Context, p *Pod, overhead, resources *runtime.LinuxContainerResources) error {
	if !op.Active() {
		return nil
	}
	_, err := op.a.nri.UpdatePodSandbox(ctx, &adaptation.UpdatePodSandboxRequest{
		Pod: p.message(), OverheadLinuxResources: resourcesMessage(overhead), LinuxResources: resourcesMessage(resources),
	})
	return failed("update", "pod", p.ID, err)
}

// PostUpdatePodSandbox tells that it was done.
func (op *Operation) PostUpdatePodSandbox(ctx context.Context, p *Pod) error {
	if !op.Active() {
		return nil
	}
	err := op.a.nri.PostUpdatePodSandbox(ctx, &adaptation.PostUpdatePodSandboxRequest{Pod: p.message()})
	return failed("update", "pod", p.ID, err)
}

// StopPodSandbox tells that a pod is being stopped, once.
func (op *Operation) StopPodSandbox(ctx context.Context, p *Pod) error {
	if !op.Active() || !op.a.known.stop(p.ID) {
		return nil
	}
	err := op.a.nri.StopPodSandbox(ctx, &adaptation.StopPodSandboxRequest{Pod: p.message()})
	return failed("stop", "pod", p.ID, err)
}

// RemovePodSandbox tells that a pod is gone, once.
func (op *Operation) RemovePodSandbox(ctx context.Context, p *Pod) error {
	if !op.Active() || !op.a.known.remove(p.ID) {
		return nil
	}
	err := op.a.nri.RemovePodSandbox(ctx, &adaptation.RemovePodSandboxRequest{Pod: p.message()})
	return failed("remove", "pod", p.ID, err)
}

// failed names the operation and gives a plugin's error the class ErrUnknown, whatever class it comes with: a
// kubelet that reads "not found" in an answer concludes that the pod is.
func failed(what, kind, id string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s %s: NRI plugins: %w", what, kind, id, err)
	}
	return fmt.Errorf("%s %s %s: NRI plugins: %s: %w", what, kind, id, status.Convert(err).Message(), errdefs.ErrUnknown)
}
