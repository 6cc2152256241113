// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// layers are the directories of the containers on disk, by id: the writable layer of each, and its
// volumes. Nothing waits for the disk: what is dropped is renamed, and deleted in the
// background.
type layers struct {
	dir   string
	trash *trash
}

func openLayers(dir string) (*layers, error) {
	l := &layers{dir: filepath.Join(dir, layersDir)}
	err := os.MkdirAll(l.dir, 0o711)
	if err == nil {
		l.trash, err = openTrash(filepath.Join(dir, trashDir))
	}
	if err != nil {
		return nil, fmt.Errorf("writable layers: %w", err)
	}
	return l, nil
}

func (l *layers) close() { l.trash.close() }

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

// mark makes a directory for what has a cgroup of its own but no writable layer: should all records be lost, this one
// tells of the cgroup.
func (l *layers) mark(id string) error {
	if err := os.Mkdir(l.of(id).dir, 0o711); err != nil {
		return fmt.Errorf("writable layer: %w", err)
	}
	return nil
}

// drop takes a container's directory away. nil when there is none.
func (l *layers) drop(id string) error {
	if err := l.trash.drop(l.of(id).dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop the writable layer: %w", err)
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
