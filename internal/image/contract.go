// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// Image is one image: its config, and every name it is known by.
type Image struct {
	ID          string   // digest of the config, sha256:...
	Target      string   // digest of the manifest or index the names point to
	Tags        []string // NAME:TAG, normalized
	Digests     []string // NAME@DIGEST, normalized
	Size        int64    // bytes of the compressed content
	Pinned      bool
	Snapshotter string // for which it was pulled, "" for the default one
	Config      ocispec.Image
}

// Finder finds images for containers. *Images implements it.
type Finder interface {
	// Resolve finds an image by id, by a prefix of the id that is not ambiguous, by name and tag
	// or by name and digest. ErrNotFound.
	Resolve(ctx context.Context, ref string) (*Image, error)
	// Use returns the view of the image ref for one container more. snapshotter "" is the
	// default one. It writes to disk only when nothing used the image since it was pulled or
	// the daemon started anew without it.
	Use(ctx context.Context, ref, snapshotter string) (View, error)
}

// View is the file system of an image in use. It stays until as many Release were called as Use.
type View interface {
	Image() *Image
	// Mounts are the mounts of a root file system whose writable layer is upper, with work for
	// overlay's own use; both directories exist and are empty. With upper "" it is read-only.
	Mounts(upper, work string) ([]rootfs.Mount, error)
	// ReadFile reads a regular file of the image, resolved inside it; at most 1 MiB.
	// fs.ErrNotExist when it is missing.
	ReadFile(path string) ([]byte, error)
	// CopyDirectory copies what the image has at path, a directory, into the existing directory
	// to, with owners, modes and extended attributes. Nothing when the image has no such directory.
	CopyDirectory(path, to string) error
	Release()
}
