// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// imageVolumes are the mounts of images, in the order of the config.
func imageVolumes(cfg *runtime.ContainerConfig) []*runtime.Mount {
	var mounts []*runtime.Mount
	for _, m := range cfg.Mounts {
		if m.GetImage().GetImage() != "" {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// useImageVolumes finds the images that are mounted as volumes, and keeps them until the container is removed. What
// cannot be mounted is refused here, before the container exists.
func (c *creation) useImageVolumes(ctx context.Context) error {
	for _, m := range imageVolumes(c.cfg) {
		view, err := c.manager.Images.Use(ctx, m.Image.Image, c.Sandbox.handler.Snapshotter)
		if err != nil {
			return fmt.Errorf("image volume %s: %w", m.ContainerPath, err)
		}
		c.volumeViews = append(c.volumeViews, view)
		c.image.Volumes = append(c.image.Volumes, view.Image().ID)
		c.undo.add(func(context.Context) error { view.Release(); return nil })
		if m.ImageSubPath == "" {
			continue
		}
		tree, err := c.openImageVolume(view, m, "")
		if err != nil {
			return fmt.Errorf("image volume %s: %w", m.ContainerPath, err)
		}
		tree.Close()
	}
	return nil
}

// openImageVolume returns a detached, read-only mount of an image, or of a directory in it.
func (c *Container) openImageVolume(view image.View, m *runtime.Mount, label string) (*os.File, error) {
	if view == nil {
		return nil, notFound("image %q", shorten(m.Image.Image))
	}
	mounts, err := view.Mounts("", "")
	if err != nil {
		return nil, err
	}
	relabel(&mounts[len(mounts)-1], label)
	fd, err := c.Sandbox.openMapped(mounts)
	if err != nil {
		return nil, err
	}
	if m.ImageSubPath == "" {
		return os.NewFile(uintptr(fd), "image volume"), nil
	}
	defer unix.Close(fd)
	sub, err := rootfs.SubTree(fd, m.ImageSubPath)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, notFound("image_sub_path: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("image_sub_path: %w", err)
	}
	return os.NewFile(uintptr(sub), "image volume"), nil
}

// relabel gives a mount of an image the SELinux label of the container, "" for none. A directory that is bound keeps its
// own.
func relabel(m *rootfs.Mount, label string) {
	if label != "" && m.Type == "overlay" {
		m.Options = append(append([]string{}, m.Options...), "context="+label)
	}
}

// openMapped opens mounts with the owners of their files moved into the pod's user namespace, if it has one.
func (s *Sandbox) openMapped(mounts []rootfs.Mount) (int, error) {
	u := s.users
	if u == nil {
		return rootfs.Open(mounts, nil, nil)
	}
	own := s.spaces.File(unix.CLONE_NEWUSER)
	if own == nil {
		return -1, unready("pod sandbox %s is not ready", s.ID)
	}
	users := func(rootfs.Mapping) (int, error) { return int(own.Fd()), nil }
	return rootfs.Open(mounts, &rootfs.Mapping{UIDs: idMaps(u.Uids), GIDs: idMaps(u.Gids)}, users)
}
