// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	copier "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/rootfs"
)

const (
	maxFile = 1 << 20

	// /etc/passwd and /etc/group are read for every container, and the layers never change.
	maxCachedFile  = 16 << 10
	maxCachedFiles = 8
)

// fileCache has small files of an image.
type fileCache struct {
	mu    sync.Mutex
	files map[string]cachedFile
}

type cachedFile struct {
	data []byte
	err  error // fs.ErrNotExist
}

func (c *fileCache) get(path string) (cachedFile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.files[path]
	return f, ok
}

func (c *fileCache) put(path string, data []byte, err error) {
	if len(data) > maxCachedFile || len(path) > unix.PathMax || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.files) < maxCachedFiles {
		if c.files == nil {
			c.files = map[string]cachedFile{}
		}
		c.files[path] = cachedFile{data, err}
	}
}

func (v *view) ReadFile(path string) ([]byte, error) {
	cached, ok := v.layers.files.get(path)
	if !ok {
		cached.data, cached.err = v.readFile(path)
		v.layers.files.put(path, cached.data, cached.err)
	}
	if cached.err != nil {
		return nil, fmt.Errorf("image %s: %w", v.image.ID, cached.err)
	}
	return slices.Clone(cached.data), nil
}

func (v *view) readFile(path string) (data []byte, err error) {
	err = v.inside(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file: %w", path, errdefs.ErrFailedPrecondition)
		}
		if data, err = io.ReadAll(io.LimitReader(f, maxFile+1)); err == nil && len(data) > maxFile {
			err = fmt.Errorf("%s has more than %d bytes: %w", path, maxFile, errdefs.ErrOutOfRange)
		}
		return err
	})
	return data, err
}

func (v *view) CopyDirectory(path, to string) error {
	err := v.inside(path, unix.O_RDONLY|unix.O_DIRECTORY, func(dir *os.File) error {
		// The link is followed only where more of the path comes after it.
		return copier.CopyDir(to, fmt.Sprintf("/proc/self/fd/%d/.", dir.Fd()))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("image %s: copy %s: %w", v.image.ID, path, err)
	}
	return nil
}

// inside opens path in the image for the time of do. No link leads outside, no device is
// opened. A file where a directory should be is missing.
func (v *view) inside(path string, flags uint64, do func(*os.File) error) error {
	mounts := v.layers.shape.mounts("", "", false)
	mounts[0].Options = append(slices.Clone(mounts[0].Options), "nodev", "nosuid", "noexec")
	tree, err := rootfs.Open(mounts, nil, nil)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	fd, err := kernel.OpenInRoot(tree, path, flags, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return do(f)
}
