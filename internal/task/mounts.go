// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// activatedName is a file in the bundle of a task whose root file system the mount
// manager holds, so that the others are spared a transaction when they are deleted.
const activatedName = "activated"

// activation is a root file system after the mount manager has seen it.
type activation struct {
	mounts []mount.Mount
	held   bool // some mounts are the mount manager's
	owned  bool // by this call
}

// activate lets the mount manager make the mounts that are not the kernel's business
// alone, such as disk images; plain ones are left to the launch, which mounts nothing on
// the host. The label keeps garbage collection away while the container exists.
func (r *Runtime) activate(ctx context.Context, id string, mounts []mount.Mount) (activation, error) {
	if r.mounts == nil || len(mounts) == 0 {
		return activation{mounts: mounts}, nil
	}
	info, err := r.mounts.Activate(ctx, id, mounts,
		mount.WithLabels(map[string]string{"containerd.io/gc.bref.container": id}))
	switch {
	case err == nil:
		return activation{mounts: info.System, held: true, owned: true}, nil
	case errdefs.IsNotImplemented(err):
		return activation{mounts: mounts}, nil
	case !errdefs.IsAlreadyExists(err):
		return activation{}, err
	}
	// An earlier task of this container has left it; the container still refers to it.
	if info, err = r.mounts.Info(ctx, id); err != nil {
		return activation{}, fmt.Errorf("mounts of an earlier task: %w", err)
	}
	return activation{mounts: info.System, held: true}, nil
}

// keep notes that the mounts have to be given back at the end. If that fails, garbage
// collection does it when the container is removed.
func (a activation) keep(bundle string) {
	if a.held {
		_ = os.WriteFile(filepath.Join(bundle, activatedName), nil, 0o600)
	}
}

func isActivated(bundle string) bool {
	_, err := os.Stat(filepath.Join(bundle, activatedName))
	return err == nil
}

func (r *Runtime) undo(ctx context.Context, id string, a activation) {
	if a.owned {
		r.deactivate(ctx, id)
	}
}

// deactivate gives the mounts back, whatever became of the caller.
func (r *Runtime) deactivate(ctx context.Context, id string) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := r.mounts.Deactivate(ctx, id); err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("id", id).Error("deactivate the mounts of a task")
	}
}

// rootfsMounts are mounts in the launch's terms.
func rootfsMounts(mounts []mount.Mount) ([]rootfs.Mount, error) {
	list := make([]rootfs.Mount, len(mounts))
	for i, m := range mounts {
		if m.Target != "" {
			return nil, fmt.Errorf("rootfs mount %d: a target below the root, %q, is not supported: %w", i, m.Target, errdefs.ErrNotImplemented)
		}
		list[i] = rootfs.Mount{Type: m.Type, Source: m.Source, Options: m.Options}
	}
	return list, nil
}
