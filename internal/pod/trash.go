// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// trash is a directory of what is to be deleted, which nobody waits for. A later daemon goes on with it. Until it is deleted it counts
// as what containers take on disk: CRI's ImageFsInfo adds up the whole directory around.
//
// One thread deletes, which is there only while there is something: the last to get the disk, and at work for half of the time. A
// layer of a million files takes a node half a processor for some seconds, and the daemon ends without waiting for it.
type trash struct {
	dir     string
	waiting atomic.Int64 // directories

	wake, stop chan struct{} // wake has room for one
	done       chan struct{} // closed when run has returned
}

// openTrash starts to delete what an earlier daemon has left.
func openTrash(dir string) (*trash, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	t := &trash{dir: dir, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	t.waiting.Store(int64(len(left)))
	go t.run()
	return t, nil
}

// close ends the deletion, at the next file.
func (t *trash) close() {
	close(t.stop)
	<-t.done
}

// drop moves the directory path, which is on the same file system, into the trash.
func (t *trash) drop(path string) error {
	if err := os.Rename(path, filepath.Join(t.dir, filepath.Base(path))); err != nil {
		return err
	}
	t.waiting.Add(1)
	select {
	case t.wake <- struct{}{}:
	default: // it is about to look anyway
	}
	return nil
}

func (t *trash) run() {
	defer close(t.done)
	for {
		if t.waiting.Load() > 0 {
			t.sweep()
		}
		select {
		case <-t.wake:
		case <-t.stop:
			return
		}
	}
}

// sweep deletes what is there now, on a thread of its own.
func (t *trash) sweep() {
	var err error
	kernel.OnThread(func() {
		_ = kernel.YieldDisk() // then it competes with the others
		err = t.sweepAll()
	})
	if err != nil && !errors.Is(err, errStopped) {
		log.L.WithError(err).Warn("delete writable layers; it is tried again with the next one")
	}
}

func (t *trash) sweepAll() error {
	dir, err := os.Open(t.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	d := &deletion{trash: t, root: dir, began: time.Now()}
	return d.empty(dir, 0)
}

// errStopped is of a deletion that the end of the daemon has interrupted.
var errStopped = errors.New("the daemon ends")

const (
	// workTime is how long the deletion goes on before it rests as long.
	workTime = 10 * time.Millisecond
	// maxNesting is how deep directories are followed, each by a descriptor. What lies deeper is moved up.
	maxNesting = 64
)

// deletion deletes what is in the trash, one after the other.
type deletion struct {
	trash *trash
	root  *os.File // of the trash
	began time.Time
	moved int // directories
}

// empty deletes what is in dir. It goes on after an error, which is returned then.
func (d *deletion) empty(dir *os.File, nesting int) error {
	for {
		names, err := dir.Readdirnames(1024)
		var failed error
		deleted := 0
		for _, name := range names {
			err := d.remove(dir, name, nesting)
			switch {
			case errors.Is(err, errStopped):
				return err
			case err != nil:
				failed = err
			default:
				deleted++
			}
		}
		if deleted == 0 && (len(names) == 0 || failed != nil) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(failed, err)
		}
		if _, err := dir.Seek(0, io.SeekStart); err != nil { // what is left may have changed its place
			return err
		}
	}
}

// remove deletes name in dir, whatever it is. Links are not followed.
func (d *deletion) remove(dir *os.File, name string, nesting int) error {
	if err := d.rest(); err != nil {
		return err
	}
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = d.removeDir(dir, name, nesting)
	}
	if err != nil && !errors.Is(err, errStopped) {
		return fmt.Errorf("delete %s: %w", filepath.Join(dir.Name(), name), err)
	}
	if nesting == 0 && err == nil {
		d.trash.waiting.Add(-1)
	}
	return err
}

func (d *deletion) removeDir(dir *os.File, name string, nesting int) error {
	err := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if nesting == maxNesting {
		return d.moveUp(dir, name)
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	child := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name))
	defer child.Close()
	if err := d.empty(child, nesting+1); err != nil {
		return err
	}
	return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
}

// moveUp moves a directory to where it is the next to be deleted.
func (d *deletion) moveUp(dir *os.File, name string) error {
	for {
		d.moved++
		err := unix.Renameat2(int(dir.Fd()), name, int(d.root.Fd()), "deep-"+strconv.Itoa(d.moved), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			if err == nil {
				d.trash.waiting.Add(1)
			}
			return err
		}
	}
}

// rest is called before every file.
func (d *deletion) rest() error {
	worked := time.Since(d.began)
	if worked < workTime {
		worked = 0
	}
	select {
	case <-d.trash.stop:
		return errStopped
	default:
	}
	if worked == 0 {
		return nil
	}
	select {
	case <-d.trash.stop:
		return errStopped
	case <-time.After(worked):
	}
	d.began = time.Now()
	return nil
}
