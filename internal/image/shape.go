// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// shape is how the layers of an image are mounted: an overlay of several directories, or
// one directory.
type shape struct {
	lower   string   // value of overlay's lowerdir
	options []string // of an overlay, beside the directories
	dir     string   // the one directory, unescaped; "" for an overlay
}

// shapeOf reads what a snapshotter says of a view. ErrNotImplemented for what is neither an
// overlay nor a bound directory.
func shapeOf(mounts []mount.Mount, snapshotter string) (shape, error) {
	if len(mounts) != 1 || mounts[0].Target != "" {
		return shape{}, unsuited(snapshotter, fmt.Sprintf("%d mounts, or one below the root", len(mounts)))
	}
	m := mounts[0]
	switch {
	case m.Type == "overlay":
		return overlayShape(m, snapshotter)
	case m.Type == "bind" || m.Type == "rbind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind"):
		return bindShape(m, snapshotter)
	}
	return shape{}, unsuited(snapshotter, "a mount of type "+m.Type)
}

// errUnsuited is of a snapshotter whose views cannot be used for containers of ours.
var errUnsuited = fmt.Errorf("only overlays and directories can be used: %w", errdefs.ErrNotImplemented)

func unsuited(snapshotter, what string) error {
	return fmt.Errorf("snapshotter %s gives %s for the layers of an image: %w", snapshotter, what, errUnsuited)
}

func overlayShape(m mount.Mount, snapshotter string) (shape, error) {
	var s shape
	for _, o := range m.Options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "lowerdir":
			s.lower = value
		case "ro", "rw":
		case "upperdir", "workdir":
			return shape{}, unsuited(snapshotter, "a writable overlay")
		default:
			s.options = append(s.options, o)
		}
	}
	if s.lower == "" {
		return shape{}, unsuited(snapshotter, "an overlay without layers")
	}
	return s, nil
}

func bindShape(m mount.Mount, snapshotter string) (shape, error) {
	for _, o := range m.Options {
		if !slices.Contains([]string{"bind", "rbind", "ro", "rw"}, o) {
			return shape{}, unsuited(snapshotter, "a bind mount with option "+o)
		}
	}
	info, err := os.Stat(m.Source)
	if err != nil {
		return shape{}, fmt.Errorf("layers of the image: %w", err)
	}
	if !info.IsDir() {
		return shape{}, unsuited(snapshotter, "a bound file")
	}
	return shape{dir: m.Source, lower: escape(m.Source)}, nil
}

// mounts are those of a root file system over the layers. A volatile overlay is never
// synced to the disk: its upper directory lasts no longer than its container.
func (s shape) mounts(upper, work string, volatile bool) []rootfs.Mount {
	if upper != "" {
		options := []string{"lowerdir=" + s.lower, "upperdir=" + escape(upper), "workdir=" + escape(work)}
		if volatile && !slices.Contains(s.options, "volatile") {
			options = append(options, "volatile")
		}
		return []rootfs.Mount{{Type: "overlay", Source: "overlay", Options: append(options, s.options...)}}
	}
	if s.dir != "" {
		return []rootfs.Mount{{Type: "bind", Source: s.dir, Options: []string{"bind", "ro"}}}
	}
	return []rootfs.Mount{{Type: "overlay", Source: "overlay", Options: append([]string{"ro", "lowerdir=" + s.lower}, s.options...)}}
}

// escape protects what separates overlay's layers and mount(2)'s options. Overlay takes the
// backslashes away again, in each of its directories and however it is mounted.
var escape = strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace
