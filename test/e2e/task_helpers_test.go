// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

// newContainer makes a container of the client's library, with its cgroup where the test
// looks for leaks. It is removed at the end of the test.
func newContainer(t *testing.T, d *Daemon, ref, id string, opts ...oci.SpecOpts) containerd.Container {
	t.Helper()
	image, err := d.Client().GetImage(d.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	opts = append([]oci.SpecOpts{oci.WithImageConfig(image), withCgroup("/" + d.Namespace + "/" + id)}, opts...)
	c, err := d.Client().NewContainer(d.Context(), id, containerd.WithImage(image), containerd.WithRuntime(d.Runtime, nil),
		containerd.WithNewSnapshot(id, image), containerd.WithNewSpec(opts...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c, err := d.Client().LoadContainer(d.cleanContext(), id); err == nil {
			_ = remove(d.cleanContext(), c)
		}
	})
	return c
}

// cleanContext is the daemon's, also when the test's has ended.
func (d *Daemon) cleanContext() context.Context { return context.WithoutCancel(d.Context()) }

func withCgroup(path string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
		s.Linux.CgroupsPath = path
		return nil
	}
}

func newTask(t *testing.T, d *Daemon, c containerd.Container, creator cio.Creator) containerd.Task {
	t.Helper()
	task, err := c.NewTask(d.Context(), creator)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func startProcess(t *testing.T, d *Daemon, p containerd.Process) {
	t.Helper()
	if err := p.Start(d.Context()); err != nil {
		t.Fatal(err)
	}
}

// runTask makes a container and starts its task, without streams.
func runTask(t *testing.T, d *Daemon, ref, id string, opts ...oci.SpecOpts) containerd.Task {
	t.Helper()
	task := newTask(t, d, newContainer(t, d, ref, id, opts...), cio.NullIO)
	startProcess(t, d, task)
	return task
}

// waitProcess returns the exit status of a process.
func waitProcess(t *testing.T, d *Daemon, p containerd.Process) uint32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), testnode.Patience)
	defer cancel()
	exits, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exit := <-exits
	if exit.Error() != nil {
		t.Fatal(exit.Error())
	}
	return exit.ExitCode()
}

// addExec adds a process to a task, with its output in the buffer.
func addExec(t *testing.T, d *Daemon, task containerd.Task, id string, process *specs.Process, opts ...cio.Opt) (containerd.Process, *lockedBuffer) {
	t.Helper()
	var out lockedBuffer
	opts = append([]cio.Opt{cio.WithStreams(&bytes.Buffer{}, &out, &out), cio.WithFIFODir(d.Dir + "/fifo")}, opts...)
	p, err := task.Exec(d.Context(), id, process, cio.NewCreator(opts...))
	if err != nil {
		t.Fatal(err)
	}
	return p, &out
}

// shell is a process that runs a script.
func shell(script string) *specs.Process {
	return &specs.Process{Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin"}, Cwd: "/"}
}
