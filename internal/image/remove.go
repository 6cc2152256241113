// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Remove takes all names from the image that ref, an id or any of its names, stands for,
// and frees what it has on disk. Layers that containers use are freed when the last one releases
// them. It is no error when there is no such image; ErrInvalidArgument for what is no reference.
func (i *Images) Remove(ctx context.Context, ref string) error {
	img, err := i.Resolve(ctx, ref)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := i.scoped(ctx)
	defer cancel()
	names := i.index.namesOf(digest.Digest(img.ID))
	for n, name := range names {
		last := n == len(names)-1
		if err := i.removeName(ctx, name, last && !i.views.holdsIdle(img.chain)); err != nil {
			return fmt.Errorf("remove image %s: %w", img.ID, err)
		}
	}
	for _, l := range i.views.idleOf(img.chain) {
		i.views.delete(ctx, l)
	}
	return nil
}

// removeName removes a name. With collect it waits for garbage collection too; where a view is
// deleted next, that does it.
func (i *Images) removeName(ctx context.Context, name string, collect bool) error {
	var options []images.DeleteOpt
	if collect {
		options = append(options, images.SynchronousDelete())
	}
	if err := i.store.Delete(ctx, name, options...); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("name %s: %w", name, err)
	}
	_, err := i.refresh(ctx, name, false)
	return err
}

// holdsIdle tells whether layers are kept on disk that no container uses.
func (v *views) holdsIdle(chain digest.Digest) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, l := range v.kept {
		if key.chain == chain && l.uses == 0 && (v.reconciled || !l.left) {
			return true
		}
	}
	return false
}
