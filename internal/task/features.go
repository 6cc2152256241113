// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// pluginInfo is how the introspection service asks a runtime about itself.
type pluginInfo interface {
	PluginInfo(ctx context.Context, request any) (any, error)
}

// PluginInfo answers a *types.RuntimeRequest with a *types.RuntimeInfo.
func (r *Runtime) PluginInfo(ctx context.Context, request any) (any, error) {
	req, ok := request.(*types.RuntimeRequest)
	if !ok {
		return nil, fmt.Errorf("unknown request type %T: %w", request, errdefs.ErrNotImplemented)
	}
	ours, err := r.names.ours(req.RuntimePath)
	if err != nil {
		return nil, err
	}
	if stock, ok := r.stock.(pluginInfo); ok && !ours {
		return stock.PluginInfo(ctx, request)
	}
	described, err := typeurl.MarshalAnyToProto(ociFeatures())
	if err != nil {
		return nil, err
	}
	return &types.RuntimeInfo{
		Name: Name, Version: &types.RuntimeVersion{Version: r.version}, Options: req.Options, Features: described,
	}, nil
}

// ociFeatures says which parts of the runtime specification are implemented: its
// features.md.
func ociFeatures() *features.Features {
	yes, no := ptr(true), ptr(false)
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		Linux: &features.Linux{
			Namespaces:      []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Cgroup:          &features.Cgroup{V1: yes, V2: yes, Systemd: yes, SystemdUser: no, Rdma: yes},
			Seccomp:         &features.Seccomp{Enabled: yes},
			Apparmor:        &features.Apparmor{Enabled: yes},
			Selinux:         &features.Selinux{Enabled: yes},
			IntelRdt:        &features.IntelRdt{Enabled: no},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: yes}},
		},
	}
}

func ptr[T any](v T) *T { return &v }
