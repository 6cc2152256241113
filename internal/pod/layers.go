// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/log"
)

// layers are the directories of the containers on disk: the writable layer of each, and its
// volumes. Nothing waits for the disk: what is dropped is renamed, and deleted in the
// background.
type layers struct {
	dir, trash string

	wake, stop chan struct{} // wake has room for one
	done       chan struct{} // closed when sweep has returned
}

// openLayers starts to delete what an earlier daemon has dropped.
func openLayers(dir string) (*layers, error) {
	l := &layers{
		dir: filepath.Join(dir, layersDir), trash: filepath.Join(dir, trashDir),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	for _, d := range []string{l.dir, l.trash} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fmt.Errorf("writable layers: %w", err)
		}
	}
	go l.sweep()
	return l, nil
}

// close waits for the directory that is being deleted; the others are the next daemon's.
func (l *layers) close() {
	close(l.stop)
	<-l.done
}

// sweep deletes what is dropped, one after the other.
func (l *layers) sweep() {
	defer close(l.done)
	for {
		if err := l.sweepAll(); err != nil {
			log.L.WithError(err).Warn("delete writable layers; it is tried again with the next one")
		}
		select {
		case <-l.wake:
		case <-l.stop:
			return
		}
	}
}

func (l *layers) sweepAll() error {
	entries, err := os.ReadDir(l.trash)
	for _, e := range entries {
		select {
		case <-l.stop:
			return err
		default:
			err = errors.Join(err, os.RemoveAll(filepath.Join(l.trash, e.Name())))
		}
	}
	return err
}

// layer is one container's directory.
type layer struct{ dir string }

func (l *layers) of(id string) layer { return layer{filepath.Join(l.dir, id)} }

func (l layer) upper() string { return filepath.Join(l.dir, "fs") }
func (l layer) work() string  { return filepath.Join(l.dir, "work") }

// volume is the directory of the i-th volume of the image.
func (l layer) volume(i int) string { return filepath.Join(l.dir, "volumes", strconv.Itoa(i)) }

// make makes the empty directories. uid and gid own the root of the file system: the container's root.
func (l layer) make(uid, gid, volumes int) error {
	if err := os.Mkdir(l.dir, 0o711); err != nil {
		return fmt.Errorf("writable layer: %w", err)
	}
	if err := errors.Join(os.Mkdir(l.upper(), 0o755), os.Mkdir(l.work(), 0o711)); err != nil {
		return fmt.Errorf("writable layer: %w", err)
	}
	if uid != 0 || gid != 0 {
		if err := errors.Join(os.Chown(l.upper(), uid, gid), os.Chown(l.work(), uid, gid)); err != nil {
			return fmt.Errorf("writable layer: %w", err)
		}
	}
	for i := range volumes {
		if err := os.MkdirAll(l.volume(i), 0o755); err != nil {
			return fmt.Errorf("volume of the image: %w", err)
		}
	}
	return nil
}

// drop takes a container's directory away. nil when there is none.
func (l *layers) drop(id string) error {
	err := os.Rename(l.of(id).dir, filepath.Join(l.trash, id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("drop the writable layer: %w", err)
	}
	select {
	case l.wake <- struct{}{}:
	default: // it is about to look anyway
	}
	return nil
}

// list returns the ids of the containers that have a directory.
func (l *layers) list() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, err
}
