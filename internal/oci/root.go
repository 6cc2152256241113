// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// root says what the root file system is.
func (t *translation) root() error {
	propagation, err := t.rootPropagation()
	if err != nil {
		return err
	}
	t.plan.Root = &plan.Root{
		FD: plan.NoFD,
		// The copy of the host's tree in which the root is attached is never shared: the
		// container's mounts would travel to the host.
		Propagation: unix.MS_SLAVE | unix.MS_REC,
		// Not recursive: each mount has its own propagation by then.
		After:    propagation &^ unix.MS_REC,
		Readonly: t.spec.Root != nil && t.spec.Root.Readonly,
	}
	if t.spec.Root != nil && t.spec.Root.Path != "" {
		t.plan.Root.At = t.inBundle(t.spec.Root.Path)
	}
	if propagation&unix.MS_PRIVATE != 0 {
		t.plan.Root.Propagation = unix.MS_PRIVATE | unix.MS_REC
	}
	if len(t.opts.Rootfs) > 0 {
		return t.snapshotRoot()
	}
	return t.directoryRoot()
}

// snapshotRoot takes the mounts of a snapshotter. Those with the capability
// "remap-ids" ask for an idmapped root file system by the options uidmap and gidmap
// (containerd's core/mount), which no file system knows: they are taken out.
func (t *translation) snapshotRoot() error {
	t.req.Rootfs = slices.Clone(t.opts.Rootfs)
	for i := range t.req.Rootfs {
		m := &t.req.Rootfs[i]
		if !slices.ContainsFunc(m.Options, isIDMapOption) {
			continue
		}
		mapping, err := optionMapping(m.Options)
		if err != nil {
			return err
		}
		m.Options = slices.DeleteFunc(slices.Clone(m.Options), isIDMapOption)
		t.req.RootMapping = mapping
	}
	return nil
}

func isIDMapOption(o string) bool {
	return strings.HasPrefix(o, "uidmap=") || strings.HasPrefix(o, "gidmap=")
}

func optionMapping(options []string) (*rootfs.Mapping, error) {
	var m rootfs.Mapping
	for _, o := range options {
		var err error
		if value, ok := strings.CutPrefix(o, "uidmap="); ok {
			m.UIDs, err = parseIDMaps("rootfs option uidmap", value)
		} else if value, ok := strings.CutPrefix(o, "gidmap="); ok {
			m.GIDs, err = parseIDMaps("rootfs option gidmap", value)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(m.UIDs) == 0 || len(m.GIDs) == 0 {
		return nil, invalid("rootfs options: uidmap and gidmap belong together")
	}
	return &m, nil
}

func (t *translation) directoryRoot() error {
	if t.spec.Root == nil || t.spec.Root.Path == "" {
		return invalid("root.path: a container needs a root file system")
	}
	dir := t.inBundle(t.spec.Root.Path)
	if err := checkText("root.path", dir); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return notFound("root.path: %v", err)
	}
	if !info.IsDir() {
		return invalid("root.path: %q is not a directory", dir)
	}
	t.req.Rootfs = []rootfs.Mount{{Type: "bind", Source: dir, Options: []string{"rbind"}}}
	return nil
}

// inBundle makes a path of the spec absolute.
func (t *translation) inBundle(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(t.opts.Bundle, path)
}
