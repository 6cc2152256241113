// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// heldPod is a pod as a tenant.
type heldPod struct{ *pod }

// raisePod is the first half of a pod's life.
func raisePod(ctx context.Context, r *run, id string, times *recorder) (tenant, error) {
	p, err := r.raisePod(ctx, id, times)
	if err != nil {
		return nil, err
	}
	times.add(Total, times[PodReady][0])
	return heldPod{p}, nil
}

// raisePod brings a pod up to its running program. Of one that failed nothing
// is left.
func (r *run) raisePod(ctx context.Context, id string, times *recorder) (*pod, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	p := r.pods.newPod(id, r.options)
	p.dress()
	watch := newStopwatch()
	if err := p.rise(ctx, times, watch); err != nil {
		return nil, errors.Join(err, p.remove(ctx))
	}
	times.add(PodReady, watch.total())
	return p, nil
}

// processOf asks for the verbose status, where CRI servers tell the process id.
func (p *pod) processOf(ctx context.Context) (int, error) {
	status, err := p.client.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: p.container, Verbose: true})
	if err != nil {
		return 0, failed("status of container "+p.container, err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(status.Info["info"]), &info); err != nil || info.Pid <= 0 {
		return 0, fmt.Errorf("verbose status of container %s names no process: %w", p.container, err)
	}
	return info.Pid, nil
}

func (h heldPod) leave(ctx context.Context, times *recorder) error {
	return h.fall(ctx, times, newStopwatch())
}

func (h heldPod) evict(ctx context.Context) error { return h.remove(ctx) }
