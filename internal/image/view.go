// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// View is the file system of an image in use. It stays until as many Release were called as Use.
type View interface {
	Image() *Image
	// Mounts are the mounts of a root file system whose writable layer is upper, with work for
	// overlay's own use; both directories exist and are empty. With upper "" it is read-only.
	Mounts(upper, work string) ([]rootfs.Mount, error)
	// ReadFile reads a regular file of the image, resolved inside it; at most 1 MiB.
	// fs.ErrNotExist when it is missing.
	ReadFile(path string) ([]byte, error)
	// CopyDirectory copies what the image has at path, a directory, into the existing directory
	// to, with owners, modes and extended attributes. Nothing when the image has no such directory.
	CopyDirectory(path, to string) error
	Release()
}

// Use returns the view of an image.
func (i *Images) Use(ctx context.Context, ref, snapshotter string) (View, error) {
	if err := checkReference(ref); err != nil {
		return nil, err
	}
	if err := i.loaded(ctx); err != nil {
		return nil, err
	}
	img, err := i.find(ref, "")
	if err != nil {
		return nil, err
	}
	if img == nil {
		img = i.views.retained(ref)
	}
	if img == nil {
		return nil, fmt.Errorf("image %q: %w", ref, errdefs.ErrNotFound)
	}
	layers, err := i.views.acquire(ctx, img, orDefault(snapshotter, i.settings.Snapshotter))
	if err != nil {
		return nil, fmt.Errorf("use image %s: %w", img.ID, err)
	}
	return &view{views: i.views, layers: layers, image: i.views.withSnapshotter(img)}, nil
}

// view is one use of an image's layers.
type view struct {
	views    *views
	layers   *layers
	image    *Image
	released sync.Once
}

func (v *view) Image() *Image { return v.image }

func (v *view) Mounts(upper, work string) ([]rootfs.Mount, error) {
	return v.layers.shape.mounts(upper, work, v.views.volatile()), nil
}

// Release may be called more than once.
func (v *view) Release() { v.released.Do(func() { v.views.release(v.layers) }) }
