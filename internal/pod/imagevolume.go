// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// openImageVolume returns a detached, read-only mount of an image, or of a directory in it. The image
// is in use until the container is removed.
func (c *Container) openImageVolume(ctx context.Context, m *runtime.Mount) (*os.File, error) {
	view, err := c.manager.Images.Use(ctx, m.Image.Image, c.Sandbox.handler.Snapshotter)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.volumeViews = append(c.volumeViews, view)
	c.mu.Unlock()
	mounts, err := view.Mounts("", "")
	if err != nil {
		return nil, err
	}
	fd, err := rootfs.Open(mounts, nil, nil)
	if err != nil {
		return nil, err
	}
	tree := os.NewFile(uintptr(fd), "image volume")
	if m.ImageSubPath == "" {
		return tree, nil
	}
	defer tree.Close()
	return subTree(tree, m.ImageSubPath)
}

// subTree is a detached copy of a directory of a detached mount. Before Linux 6.15 the kernel cannot make one.
func subTree(tree *os.File, path string) (*os.File, error) {
	dir, err := kernel.OpenInRoot(int(tree.Fd()), path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, notFound("image_sub_path %q: %v", shorten(path), err)
	}
	defer unix.Close(dir)
	fd, err := kernel.OpenTree(dir, "", false)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "image volume"), nil
}
