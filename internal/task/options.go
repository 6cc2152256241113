// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/sardine-run/sardine/internal/cgroup"
)

// Options are what of containerd.runc.v1.Options has a meaning here. The rest names
// binaries and directories of runc and CRIU, which are not used: BinaryName, Root,
// CriuPath, CriuImagePath, CriuWorkPath, ShimCgroup. IoUid and IoGid are not needed, as
// streams are given to the user of the process.
type Options struct {
	SystemdCgroup bool `toml:"systemd_cgroup"`
	NoNewKeyring  bool `toml:"no_new_keyring"`
	NoPivotRoot   bool `toml:"no_pivot_root"`
}

// options are those of the task, of its container, or the configured ones.
func (r *Runtime) options(opts *runtime.CreateOpts) (Options, error) {
	given := opts.TaskOptions
	if given == nil || len(given.GetValue()) == 0 {
		given = opts.RuntimeOptions
	}
	if given == nil || len(given.GetValue()) == 0 {
		return r.defaults, nil
	}
	var o runc.Options
	if !typeurl.Is(given, &o) {
		return Options{}, fmt.Errorf("runtime options of type %q: want containerd.runc.v1.Options: %w", given.GetTypeUrl(), errdefs.ErrInvalidArgument)
	}
	if err := typeurl.UnmarshalTo(given, &o); err != nil {
		return Options{}, fmt.Errorf("runtime options: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return Options{SystemdCgroup: o.SystemdCgroup, NoNewKeyring: o.NoNewKeyring, NoPivotRoot: o.NoPivotRoot}, nil
}

func (o Options) driver() cgroup.Driver {
	if o.SystemdCgroup {
		return cgroup.Systemd
	}
	return cgroup.Cgroupfs
}
