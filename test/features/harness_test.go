// SPDX-License-Identifier: Apache-2.0

package features

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// box makes containers in one daemon.
type box struct {
	*e2e.Daemon
	image    containerd.Image
	snapshot []snapshots.Opt // for the snapshots of its containers
	count    atomic.Int64
}

func newBox(t *testing.T) *box {
	t.Helper()
	d := e2e.StartDaemon(t)
	image, err := d.Client().GetImage(d.Context(), d.ImportBusybox())
	if err != nil {
		t.Fatal(err)
	}
	return &box{Daemon: d, image: image}
}

// change is an alteration of containerd's default spec.
type change func(*specs.Spec)

// result is how a container ended and what it printed on both streams.
type result struct {
	out  string
	code uint32
}

// run runs a shell script in a container to its end. It returns an error when the
// container could not be created or started.
func (b *box) run(t *testing.T, script string, changes ...change) (result, error) {
	t.Helper()
	return b.runArgs(t, []string{"/bin/sh", "-c", script}, changes...)
}

func (b *box) runArgs(t *testing.T, args []string, changes ...change) (result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), testnode.Patience)
	defer cancel()
	c, err := b.container(ctx, args, changes...)
	if err != nil {
		return result{}, err
	}
	defer func() {
		if err := c.Delete(b.Context(), containerd.WithSnapshotCleanup); err != nil {
			t.Error(err)
		}
	}()
	var out output
	task, err := c.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, &out, &out)))
	if err != nil {
		return result{}, err
	}
	code, err := finish(ctx, task)
	if _, derr := task.Delete(b.Context(), containerd.WithProcessKill); derr != nil {
		t.Error(derr)
	}
	return result{strings.TrimSpace(out.String()), code}, err
}

// output collects two streams in one text.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func finish(ctx context.Context, task containerd.Task) (uint32, error) {
	ended, err := task.Wait(ctx)
	if err != nil {
		return 0, err
	}
	if err := task.Start(ctx); err != nil {
		return 0, err
	}
	select {
	case s := <-ended:
		task.IO().Wait()
		return s.ExitCode(), s.Error()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (b *box) container(ctx context.Context, args []string, changes ...change) (containerd.Container, error) {
	id := fmt.Sprintf("f%d", b.count.Add(1))
	apply := func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		for _, change := range changes {
			change(s)
		}
		return nil
	}
	return b.Client().NewContainer(ctx, id,
		containerd.WithNewSnapshot(id, b.image, b.snapshot...),
		containerd.WithNewSpec(oci.WithImageConfig(b.image), oci.WithProcessArgs(args...), apply))
}

// inside is one feature: a change of the spec, a script that looks at its effect and what
// it must print.
type inside struct {
	name   string
	change change
	script string
	want   string
}

// check runs every feature in a container of its own.
func (b *box) check(t *testing.T, features []inside) {
	t.Helper()
	for _, f := range features {
		t.Run(f.name, func(t *testing.T) {
			got, err := b.run(t, f.script, f.change)
			if err != nil {
				t.Fatal(err)
			}
			if got.out != f.want {
				t.Errorf("got %q (exit code %d), want %q", got.out, got.code, f.want)
			}
		})
	}
}

// refusal is a bad spec and what the error must say.
type refusal struct {
	name   string
	change change
	want   string
	class  func(error) bool // errdefs class
}

func (b *box) refuse(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			got, err := b.run(t, "true", r.change)
			switch {
			case err == nil:
				t.Errorf("it ran: %+v", got)
			case !strings.Contains(err.Error(), r.want):
				t.Errorf("got %q, want %q in it", err, r.want)
			case r.class != nil && !r.class(err):
				t.Errorf("%q is of another error class", err)
			}
		})
	}
}

func pointer[T any](v T) *T { return &v }
