// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	snapshotlabels "github.com/containerd/containerd/v2/pkg/snapshotters"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// PullOptions are what a pull may bring.
type PullOptions struct {
	Auth           Auth
	RuntimeHandler string // "" and unknown ones: the node's platform and default snapshotter
}

// Pull fetches and unpacks an image and returns its id. It asks the registry even when the
// image is there, and fetches what is missing. Callers that want the same at the same time share one pull,
// which ends when none of them waits any more.
//
// ErrInvalidArgument for the reference or login, ErrNotFound, ErrUnauthenticated and
// ErrPermissionDenied from the registry, ErrRegistryUnavailable, ErrRefused.
func (i *Images) Pull(ctx context.Context, ref string, o PullOptions) (string, error) {
	if _, err := digest.Parse(ref); err == nil {
		return "", fmt.Errorf("pull %s: an id tells no registry, images are pulled by name: %w", ref, errdefs.ErrInvalidArgument)
	}
	named, err := parseReference(ref)
	if err != nil {
		return "", err
	}
	if err := o.Auth.check(); err != nil {
		return "", fmt.Errorf("pull %s: %w", named, err)
	}
	if err := i.loaded(ctx); err != nil {
		return "", err
	}
	t := i.settings.target(o.RuntimeHandler)
	key := flightKey{ref: named.String(), platform: t.name, snapshotter: t.snapshotter, auth: o.Auth}
	id, err := i.flights.join(ctx, key, func() *flight {
		return i.start(ctx, func(ctx context.Context) (string, error) { return i.pull(ctx, named, t, o.Auth) })
	})
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", named, classify(err))
	}
	return id, nil
}

// pull does it.
func (i *Images) pull(ctx context.Context, named reference.Named, t target, auth Auth) (string, error) {
	begin := time.Now()
	record, err := i.fetch(ctx, named, t, auth)
	if err != nil {
		return "", err
	}
	config, err := images.Config(ctx, i.content, record.Target, t.matcher)
	if err != nil {
		return "", fmt.Errorf("image config: %w", err)
	}
	id := config.Digest.String()
	tag, canonical := published(named, record.Target.Digest)
	for _, key := range []string{id, tag, canonical} {
		if key == "" {
			continue
		}
		if err := i.publish(ctx, key, record.Target, i.settings.labels(named.String())); err != nil {
			return "", err
		}
		if _, err := i.refresh(ctx, key, true); err != nil {
			return "", err
		}
	}
	if err := i.prepare(ctx, id, t.snapshotter); err != nil {
		return "", err
	}
	log.G(ctx).WithField("id", id).WithField("took", time.Since(begin).Round(time.Millisecond)).Infof("pulled image %s", named)
	return id, nil
}

// prepare makes the view, so that the first container need not. For snapshotters whose images only
// other runtimes can use, nothing is to be done.
func (i *Images) prepare(ctx context.Context, id, snapshotter string) error {
	view, err := i.Use(ctx, id, snapshotter)
	if errors.Is(err, errUnsuited) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("view of the image: %w", err)
	}
	view.Release()
	return nil
}

// fetch downloads and unpacks, and stores the name.
func (i *Images) fetch(ctx context.Context, named reference.Named, t target, auth Auth) (images.Image, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newProgress(i.settings.stall, cancel)
	defer p.stop()
	resolver := i.settings.resolver(ctx, reference.Domain(named), auth, p.instrument)
	if len(i.verifiers) > 0 {
		resolver = verified{resolver, i.verifiers}
	}
	img, err := i.client.Pull(ctx, named.String(), i.remoteOptions(named.String(), t, resolver)...)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return images.Image{}, cause
	}
	if err != nil {
		return images.Image{}, err
	}
	return img.Metadata(), nil
}

func (i *Images) remoteOptions(ref string, t target, resolver remotes.Resolver) []containerd.RemoteOpt {
	s := &i.settings
	options := []containerd.RemoteOpt{
		containerd.WithResolver(resolver),
		containerd.WithPlatformMatcher(t.matcher),
		containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(t.snapshotter),
		containerd.WithPullLabels(s.labels(ref)),
		containerd.WithMaxConcurrentDownloads(s.MaxConcurrentDownloads),
		containerd.WithConcurrentLayerFetchBuffer(s.ConcurrentLayerFetchBuffer),
		containerd.WithUnpackOpts(i.unpackOptions()),
		containerd.WithImageHandlerWrapper(i.wrapHandler(ref)),
	}
	if i.downloads != nil {
		options = append(options, containerd.WithDownloadLimiter(i.downloads))
	}
	if s.DiscardUnpackedLayers {
		options = append(options, containerd.WithChildLabelMap(images.ChildGCLabelsFilterLayers))
	}
	return options
}

// wrapHandler adds to what is done with each part of an image.
func (i *Images) wrapHandler(ref string) func(images.Handler) images.Handler {
	annotate := snapshotlabels.AppendInfoHandlerWrapper(ref)
	return func(h images.Handler) images.Handler {
		h = i.discardingCorrupt(h)
		if i.settings.DisableSnapshotAnnotations {
			return h
		}
		return annotate(h)
	}
}

// discardingCorrupt throws away what was downloaded and is not what the digest says. It
// would be found complete by the next pull, and fail that too.
func (i *Images) discardingCorrupt(h images.Handler) images.Handler {
	return images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := h.Handle(ctx, desc)
		if errdefs.IsFailedPrecondition(err) {
			if aerr := i.content.Abort(context.WithoutCancel(ctx), remotes.MakeRefKey(ctx, desc)); aerr != nil && !errdefs.IsNotFound(aerr) {
				log.G(ctx).WithError(aerr).WithField("digest", desc.Digest).Warn("discard a corrupt download")
			}
		}
		return children, err
	})
}

func (i *Images) unpackOptions() []containerd.UnpackOpt {
	return []containerd.UnpackOpt{
		containerd.WithUnpackDuplicationSuppressor(i.unpacking),
		containerd.WithUnpackApplyOpts(i.settings.applyOptions()...),
	}
}

// start runs a pull that outlives the context it was asked for in, but for its values.
func (i *Images) start(ctx context.Context, do func(context.Context) (string, error)) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(namespaces.WithNamespace(ctx, Namespace)))
	stop := context.AfterFunc(i.ctx, cancel)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	run := func() {
		defer close(f.done)
		defer cancel()
		defer stop()
		f.id, f.err = do(ctx)
	}
	if !i.background(run) {
		f.err = fmt.Errorf("images are closed: %w", errdefs.ErrUnavailable)
		cancel()
		close(f.done)
	}
	return f
}
