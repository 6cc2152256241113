// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/footprint"
	"github.com/sardine-run/sardine/internal/session"
)

// podClient is a connection to a CRI socket, with an image to make containers
// of.
type podClient struct {
	conn    *grpc.ClientConn
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
	tiny    *session.Session // that imported the tiny image; nil when another is used
	image   string
	run     string // label of the pods of this run
	dir     string // of the logs, and of what is mounted into containers
	ports   atomic.Int32
}

// criNamespace is where CRI servers that are containerds have their images.
const criNamespace = "k8s.io"

// runLabel marks the pods of a run, so that it finds what it left.
const runLabel = "sardine-stress"

const (
	// imagePatience bounds waiting for CRI to learn of an imported image.
	imagePatience = 10 * time.Second
	// closePatience bounds removing what a run left.
	closePatience = 2 * time.Minute
)

// runPods is Run for pods.
func runPods(ctx context.Context, o Options, while func(context.Context) error) (*Result, error) {
	o.Address = strings.TrimPrefix(o.Address, "unix://")
	daemon, err := footprint.DaemonOf(o.Address)
	if err != nil {
		return nil, fmt.Errorf("no daemon at %s (is it running, and may you open the socket?): %w", o.Address, err)
	}
	c, err := openPods(ctx, o)
	if err != nil {
		return nil, err
	}
	result, err := c.lives(ctx, o, while, daemon)
	return result, errors.Join(err, c.close(ctx))
}

func (c *podClient) lives(ctx context.Context, o Options, while func(context.Context) error, daemon int) (*Result, error) {
	version, err := c.runtime.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		return nil, failed("ask for the version", err)
	}
	r := &run{pods: c, options: o, while: while, daemon: daemon, result: &Result{
		Address:       o.Address,
		DaemonVersion: version.RuntimeVersion,
		Runtime:       version.RuntimeName,
		Concurrency:   o.Concurrency,
		Network:       o.Network,
	}}
	switch {
	case o.Hold > 0:
		err = r.hold(ctx, raisePod)
	case o.Stop > 0:
		err = r.stop(ctx)
	case o.Probe > 0:
		err = r.probe(ctx)
	default:
		err = r.lives(ctx, (*worker).podLife)
	}
	r.result.Interrupted = ctx.Err() != nil
	return r.result, err
}

// openPods connects and finds the image. The caller must close it.
func openPods(ctx context.Context, o Options) (*podClient, error) {
	conn, err := grpc.NewClient("unix://"+o.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.Address, err)
	}
	c := &podClient{
		conn: conn, runtime: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn),
		run: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	if err := c.prepare(ctx, o); err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	return c, nil
}

func (c *podClient) prepare(ctx context.Context, o Options) error {
	if err := c.makeDir(); err != nil {
		return err
	}
	if o.Image == "" {
		return c.importTiny(ctx, o)
	}
	c.image = o.Image
	found, err := c.hasImage(ctx)
	if err == nil && !found {
		err = fmt.Errorf("image %s is not there; pull it first: %w", c.image, errdefs.ErrNotFound)
	}
	return err
}

// importTiny brings the tiny image in by containerd's API, on the same socket.
func (c *podClient) importTiny(ctx context.Context, o Options) error {
	s, err := session.Open(ctx, session.Where{Address: o.Address, Namespace: criNamespace, Snapshotter: o.Snapshotter, Shared: true})
	if err != nil {
		return fmt.Errorf("import an image (without containerd's API on this socket, name one that is there): %w", err)
	}
	c.tiny, c.image = s, s.Image.Name()
	deadline := time.Now().Add(imagePatience)
	for time.Now().Before(deadline) {
		if found, err := c.hasImage(ctx); found || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("CRI does not see the imported image %s: %w", c.image, errdefs.ErrNotFound)
}

func (c *podClient) hasImage(ctx context.Context) (bool, error) {
	status, err := c.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: c.image}})
	if err != nil {
		return false, failed("look up image "+c.image, err)
	}
	return status.Image != nil, nil
}

// close removes what failed lives left, then the image if it was brought along.
// It works after ctx is cancelled.
func (c *podClient) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	errs := []error{c.removePods(ctx)}
	if c.tiny != nil {
		errs = append(errs, c.tiny.Close(ctx))
	}
	return errors.Join(append(errs, c.conn.Close(), os.RemoveAll(c.dir))...)
}

func (c *podClient) removePods(ctx context.Context) error {
	list, err := c.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{
		Filter: &cri.PodSandboxFilter{LabelSelector: map[string]string{runLabel: c.run}},
	})
	if err != nil {
		return failed("list the pods left over", err)
	}
	var errs []error
	for _, pod := range list.Items {
		errs = append(errs, c.removePod(ctx, pod.Id))
	}
	return errors.Join(errs...)
}

func (c *podClient) removePod(ctx context.Context, id string) error {
	if _, err := c.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return failed("stop pod "+id, err)
	}
	_, err := c.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return failed("remove pod "+id, err)
}
