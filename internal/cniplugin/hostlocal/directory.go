// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// lockName is the file whose flock(2) guards a directory, here and in the reference plugin.
const lockName = "lock"

// directory is a network's, open and locked. One call works with it.
type directory struct {
	path  string
	fd    int
	lock  int
	stamp stamp

	index   *index
	changed bool // by us, or index is new: stamp is outdated
	fresh   bool // index was read in this call
}

// stamp tells whether a directory has changed: the kernel sets both times when a file is made or removed.
type stamp struct {
	dev, ino     uint64
	mtime, ctime unix.Timespec
}

// errGone is a directory that was removed while its lock was waited for.
var errGone = fmt.Errorf("the directory was removed: %w", unix.ESTALE)

// openLocked opens the directory and waits for its lock. fs.ErrNotExist without create when there is none.
func openLocked(ctx context.Context, path string, create bool) (*directory, error) {
	const attempts = 5 // at being faster than somebody who removes it
	var err error
	for range attempts {
		var d *directory
		if d, err = open(path, create); err != nil {
			return nil, err
		}
		if err = d.await(ctx); err == nil {
			return d, nil
		}
		d.close()
		if !errors.Is(err, errGone) {
			break
		}
	}
	return nil, err
}

func open(path string, create bool) (*directory, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY
	fd, err := kernel.OpenFD(path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		fd, err = kernel.OpenFD(path, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	lock, err := kernel.OpenLock(fd, lockName, 0o750)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &directory{path: path, fd: fd, lock: lock}, nil
}

// close gives the lock up.
func (d *directory) close() {
	_ = kernel.Unlock(d.lock, lockName) // fails for a descriptor that is not open only
	unix.Close(d.lock)
	unix.Close(d.fd)
}

// await waits for the lock. It asks again and again instead of waiting in the kernel, where nothing but a signal
// would end the wait.
func (d *directory) await(ctx context.Context) error {
	const longest = 2 * time.Millisecond
	for wait := 20 * time.Microsecond; ; wait = min(2*wait, longest) {
		err := kernel.TryLock(d.lock, lockName)
		if err == nil {
			return d.inspect()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("lock: %w", ctx.Err())
		}
	}
}

// inspect takes the stamp of the locked directory. What was removed meanwhile is another one than others will find.
func (d *directory) inspect() error {
	lock, err := kernel.Fstat(d.lock, lockName)
	if err != nil {
		return err
	}
	removed, err := d.take()
	if err == nil && (removed || lock.Nlink == 0) {
		err = errGone
	}
	return err
}

// take sets the stamp, and tells whether the directory was removed.
func (d *directory) take() (removed bool, err error) {
	stat, err := kernel.Fstat(d.fd, d.path)
	if err != nil {
		return false, err
	}
	d.stamp = stamp{dev: stat.Dev, ino: stat.Ino, mtime: stat.Mtim, ctime: stat.Ctim}
	return stat.Nlink == 0, nil
}

// is reports that nobody has changed the directory since s was taken.
func (d *directory) is(s stamp) bool { return d.stamp == s }

// mark gives the directory a time of modification that it can get from nobody else, and takes its stamp. Times that the
// kernel sets are as coarse as its clock tick before Linux 6.13: somebody else's change within the same tick as ours would not
// show. It does when ours is in the past, as the kernel always sets the present.
func (d *directory) mark() error {
	const past = 10 * time.Second // also for file systems that keep seconds, or two
	at := unix.NsecToTimespec(time.Now().Add(-past).UnixNano())
	at.Nsec = rand.Int64N(int64(time.Second))
	if err := kernel.SetModified(d.fd, at); err != nil {
		return err
	}
	_, err := d.take()
	return err
}
