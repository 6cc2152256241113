// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// maxDepth bounds the descriptors that a walk has open: the trees are made by containers.
const maxDepth = 128

// inode names a file with several links.
type inode struct{ dev, ino uint64 }

// counter adds up a tree that changes meanwhile.
type counter struct {
	ctx    context.Context
	sum    DiskUsage
	linked map[inode]bool // counted already
}

// diskUsage counts the blocks and inodes below dir. It follows no link and
// counts nothing below maxDepth. A missing directory takes nothing.
func diskUsage(ctx context.Context, dir string) (DiskUsage, error) {
	c := counter{ctx: ctx, sum: DiskUsage{Dir: dir, Time: time.Now()}, linked: map[inode]bool{}}
	fd, err := kernel.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return c.sum, nil
	}
	if err != nil {
		return c.sum, err
	}
	defer fd.Close()
	return c.sum, c.directory(fd, 0)
}

func (c *counter) directory(dir *os.File, depth int) error {
	const batch = 256
	for {
		entries, err := dir.ReadDir(batch)
		for _, e := range entries {
			if err := c.entry(dir, e.Name(), depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) entry(dir *os.File, name string, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &kernel.Error{Call: "fstatat", Object: name, Err: err}
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if c.count(&st, isDir); !isDir || depth == maxDepth {
		return nil
	}
	fd, err := kernel.OpenBeneath(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ignoreGone(err)
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	return c.directory(sub, depth+1)
}

// ignoreGone passes over what is not there, or not a directory, any more.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}

func (c *counter) count(st *unix.Stat_t, isDir bool) {
	if st.Nlink > 1 && !isDir {
		key := inode{st.Dev, st.Ino}
		if c.linked[key] {
			return
		}
		c.linked[key] = true
	}
	c.sum.Inodes++
	c.sum.Bytes += st.Blocks * 512
}
