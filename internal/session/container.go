// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// NewContainer creates a container of the image, with a snapshot of the same
// name, that is to run args; ctx comes from Context.
func (s *Session) NewContainer(ctx context.Context, id, runtime string, args ...string) (containerd.Container, error) {
	c, err := s.Client.NewContainer(ctx, id,
		containerd.WithSnapshotter(s.where.Snapshotter),
		containerd.WithNewSnapshot(id, s.Image),
		containerd.WithRuntime(runtime, nil),
		containerd.WithNewSpec(SpecOpts(id, args)...),
	)
	if err != nil {
		return nil, fmt.Errorf("create container %s: %w", id, err)
	}
	return c, nil
}

// SpecOpts make the spec of a container that is to run args. The environment
// is the default one, not the image's: reading that would mount the snapshot
// in this process, to look up the user's groups.
func SpecOpts(id string, args []string) []oci.SpecOpts {
	return []oci.SpecOpts{oci.WithDefaultPathEnv, oci.WithProcessArgs(args...), oci.WithHostname(id)}
}
