// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/seccomp"
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
	described, err := typeurl.MarshalAnyToProto(oci.Features(seccomp.Features()))
	if err != nil {
		return nil, err
	}
	return &types.RuntimeInfo{
		Name: Name, Version: &types.RuntimeVersion{Version: r.version}, Options: req.Options, Features: described,
	}, nil
}
