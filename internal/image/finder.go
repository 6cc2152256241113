// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is one image: its config, and every name it is known by. Callers must not change it.
type Image struct {
	ID             string   // digest of the config, sha256:...
	Target         string   // digest of the manifest or index the names point to
	Tags           []string // NAME:TAG, normalized
	Digests        []string // NAME@DIGEST, normalized
	Size           int64    // bytes of the compressed content
	Pinned         bool
	Snapshotter    string // for which it was pulled, "" for the default one
	RuntimeHandler string // for whose platform it is, "" for the node's own
	Config         ocispec.Image

	chain digest.Digest // of the layers
}

// Finder finds images for containers. *Images implements it.
type Finder interface {
	// Resolve finds an image by id, by a prefix of the id that is not ambiguous, by name and tag
	// or by name and digest. ErrNotFound, or ErrInvalidArgument for what is no reference.
	Resolve(ctx context.Context, ref string) (*Image, error)
	// Use returns the view of the image ref for one container more. snapshotter "" is the
	// default one. It writes to disk only when nothing used the image since it was pulled or
	// the daemon started anew without it.
	//
	// An image without names is still found by its id while a view of it is used, so that
	// after a restart of the daemon every container can call Use again; then comes Reconcile.
	Use(ctx context.Context, ref, snapshotter string) (View, error)
}

var _ Finder = (*Images)(nil)

// Resolve finds an image.
func (i *Images) Resolve(ctx context.Context, ref string) (*Image, error) {
	return i.ResolveFor(ctx, ref, "")
}

// ResolveFor is Resolve for a runtime handler: of a name that has an image for the
// platform of the handler it finds that one.
func (i *Images) ResolveFor(ctx context.Context, ref, handler string) (*Image, error) {
	if err := checkReference(ref); err != nil {
		return nil, err
	}
	if err := i.loaded(ctx); err != nil {
		return nil, err
	}
	img, err := i.find(ref, i.settings.target(handler).handler)
	if err != nil {
		return nil, err
	}
	if img == nil {
		return nil, fmt.Errorf("image %q: %w", ref, errdefs.ErrNotFound)
	}
	return i.views.withSnapshotter(img), nil
}

// find returns nil when there is no such image.
func (i *Images) find(ref, handler string) (*Image, error) {
	if id, err := digest.Parse(ref); err == nil {
		return i.index.byID(id.String())
	}
	named, err := parseReference(ref)
	if err == nil {
		if img := i.index.byName(named.String(), handler); img != nil {
			return img, nil
		}
	}
	if prefix, ok := idPrefix(ref); ok {
		return i.index.byID(prefix)
	}
	return nil, err
}

// List returns all images, ordered by id.
func (i *Images) List(ctx context.Context) ([]*Image, error) {
	if err := i.loaded(ctx); err != nil {
		return nil, err
	}
	list := i.index.list()
	for n, img := range list {
		list[n] = i.views.withSnapshotter(img)
	}
	return list, nil
}

// Snapshotter is the one into which images for a runtime handler are unpacked.
func (i *Images) Snapshotter(handler string) string { return i.settings.target(handler).snapshotter }
