// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"

	"github.com/sardine-run/sardine/internal/tinyimage"
)

// Where says what to connect to and what to start containers from.
type Where struct {
	Address     string // socket path of the daemon
	Namespace   string // made when absent, and then removed by Close
	Snapshotter string // empty: overlayfs where it works, otherwise native
	Image       string // an image of the namespace; empty: the tiny image is imported
	Shared      bool   // others use the namespace: it stays, though it was made
}

// Session is a connection with an image ready to start containers from. All
// methods may be called concurrently, but nothing after Close.
type Session struct {
	Client  *containerd.Client
	Image   containerd.Image
	Version containerd.Version

	where        Where
	parent       string
	ownNamespace bool
	ownImage     bool
}

// connectTimeout bounds the wait for a daemon that does not answer.
const connectTimeout = 5 * time.Second

// cleanupTimeout bounds Close; a daemon that takes longer has lost something.
const cleanupTimeout = 2 * time.Minute

// Open connects, and imports and unpacks the image. The caller must Close it.
func Open(ctx context.Context, where Where) (*Session, error) {
	client, err := containerd.New(where.Address, containerd.WithTimeout(connectTimeout))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", where.Address, err)
	}
	s := &Session{Client: client, where: where}
	if err := s.prepare(s.Context(ctx)); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// Context returns ctx naming the session's namespace, as every call needs it.
func (s *Session) Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, s.where.Namespace)
}

// Snapshotter returns the snapshotter the image is unpacked in.
func (s *Session) Snapshotter() string { return s.where.Snapshotter }

// Parent returns the snapshot of the image, which those of containers are made
// on.
func (s *Session) Parent() string { return s.parent }

// Close removes the containers, snapshots and images the session put into its
// namespace, the namespace itself if it was not there before, and the
// connection. It works after ctx is cancelled.
func (s *Session) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var failed []error
	if s.ownNamespace {
		failed = append(failed, s.removeNamespace(s.Context(ctx)))
	} else if s.ownImage {
		failed = append(failed, s.removeImage(s.Context(ctx)))
	}
	failed = append(failed, s.Client.Close())
	return errors.Join(failed...)
}

func (s *Session) prepare(ctx context.Context) error {
	if err := s.reach(ctx); err != nil {
		return err
	}
	if s.where.Snapshotter == "" {
		if err := s.chooseSnapshotter(ctx); err != nil {
			return err
		}
	}
	if err := s.ensureNamespace(ctx); err != nil {
		return err
	}
	if s.where.Image == "" {
		return s.importTiny(ctx)
	}
	return s.openImage(ctx, s.where.Image)
}

// reach finds out whether a daemon answers, to say so plainly: gRPC would
// retry for a while and then report the first failing call of the workload.
func (s *Session) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := net.Dial("unix", strings.TrimPrefix(s.where.Address, "unix://"))
	if err != nil {
		return fmt.Errorf("no daemon at %s (is it running, and may you open the socket?): %w", s.where.Address, err)
	}
	_ = conn.Close()
	s.Version, err = s.Client.Version(ctx)
	if err != nil {
		return fmt.Errorf("no containerd API at %s: %w", s.where.Address, err)
	}
	return nil
}

// chooseSnapshotter asks the daemon: overlayfs does not load where its root is
// on a file system that cannot be the upper layer, such as another overlay.
func (s *Session) chooseSnapshotter(ctx context.Context) error {
	plugins, err := s.Client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1,id==overlayfs")
	if err != nil {
		return fmt.Errorf("list snapshotters: %w", err)
	}
	s.where.Snapshotter = "native"
	for _, p := range plugins.Plugins {
		if p.ID == "overlayfs" && p.InitErr == nil {
			s.where.Snapshotter = "overlayfs"
		}
	}
	return nil
}

func (s *Session) ensureNamespace(ctx context.Context) error {
	err := s.Client.NamespaceService().Create(ctx, s.where.Namespace, nil)
	switch {
	case err == nil:
		s.ownNamespace = !s.where.Shared
		return nil
	case errdefs.IsAlreadyExists(err):
		return nil
	}
	return fmt.Errorf("create namespace %s: %w", s.where.Namespace, err)
}

func (s *Session) importTiny(ctx context.Context) error {
	img, err := tinyimage.New(runtime.GOARCH)
	if err != nil {
		return err
	}
	archive, err := img.Archive()
	if err != nil {
		return err
	}
	s.ownImage = true
	if _, err := s.Client.Import(ctx, bytes.NewReader(archive)); err != nil {
		return fmt.Errorf("import %s: %w", tinyimage.Name, err)
	}
	return s.openImage(ctx, tinyimage.Name)
}

func (s *Session) openImage(ctx context.Context, name string) error {
	image, err := s.Client.GetImage(ctx, name)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("image %s is not in namespace %s; pull or import it first: %w", name, s.where.Namespace, err)
	} else if err != nil {
		return fmt.Errorf("look up image %s: %w", name, err)
	}
	if err := image.Unpack(ctx, s.where.Snapshotter); err != nil {
		return fmt.Errorf("unpack image %s for snapshotter %s: %w", name, s.where.Snapshotter, err)
	}
	layers, err := image.RootFS(ctx)
	if err != nil {
		return fmt.Errorf("layers of image %s: %w", name, err)
	}
	s.Image, s.parent = image, identity.ChainID(layers).String()
	return nil
}
