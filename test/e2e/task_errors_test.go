// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runc "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/sardine-run/sardine/internal/testnode"
)

func change(f func(*specs.Spec)) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
		f(s)
		return nil
	}
}

// TestCreateErrors: each is clear, has its class, and leaves nothing: the daemon is compared
// with itself after the test.
func TestCreateErrors(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	for i, test := range []struct {
		name  string
		spec  func(*specs.Spec)
		class func(error) bool
		want  string
	}{
		{"missing program", func(s *specs.Spec) { s.Process.Args = []string{"/nowhere"} }, errdefs.IsNotFound, "/nowhere"},
		{"not in PATH", func(s *specs.Spec) { s.Process.Args = []string{"nowhere"} }, errdefs.IsNotFound, "nowhere"},
		{"no arguments", func(s *specs.Spec) { s.Process.Args = nil }, errdefs.IsInvalidArgument, "process.args"},
		{"working directory", func(s *specs.Spec) { s.Process.Cwd = "relative" }, errdefs.IsInvalidArgument, "cwd"},
		{"missing bind source", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/nowhere/at/all", Options: []string{"rbind"}})
		}, errdefs.IsNotFound, "/nowhere/at/all"},
		{"namespace path", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces[:0:0], s.Linux.Namespaces...)
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
					s.Linux.Namespaces[i].Path = "/nowhere/net"
				}
			}
		}, nil, "/nowhere/net"},
		{"cgroup path", func(s *specs.Spec) { s.Linux.CgroupsPath = "/a/../../b" }, errdefs.IsInvalidArgument, "cgroupsPath"},
		{"hook", func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo no luck >&2; exit 1"}}}}
		}, nil, "no luck"},
		{"version", func(s *specs.Spec) { s.Version = "7" }, errdefs.IsInvalidArgument, "ociVersion"},
		{"resource class", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} }, errdefs.IsNotImplemented, "intelRdt"},
		{"limit", func(s *specs.Spec) {
			limit := int64(1)
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		}, errdefs.IsInvalidArgument, "memory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := fmt.Sprint("c", i)
			c := newContainer(t, d, ref, id, oci.WithProcessArgs("true"), change(test.spec))
			task, err := c.NewTask(d.Context(), cio.NullIO)
			if err == nil { // a few can only be found by trying
				err = task.Start(d.Context())
				_, derr := task.Delete(d.Context(), containerd.WithProcessKill)
				must(t, derr)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if test.class != nil && !test.class(err) {
				t.Errorf("error %v (%T) has the wrong class", err, err)
			}
		})
	}
}

func TestTaskErrors(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	c := newContainer(t, d, ref, "one", oci.WithProcessArgs("sleep", "600"))
	task := newTask(t, d, c, cio.NullIO)
	startProcess(t, d, task)
	service := d.Client().TaskService()
	_, create := service.Create(d.Context(), &tasks.CreateTaskRequest{ContainerID: "one"})
	_, start := service.Start(d.Context(), &tasks.StartRequest{ContainerID: "one"})
	_, missing := service.Start(d.Context(), &tasks.StartRequest{ContainerID: "one", ExecID: "none"})
	_, running := service.Delete(d.Context(), &tasks.DeleteTaskRequest{ContainerID: "one"})
	_, checkpoint := service.Checkpoint(d.Context(), &tasks.CheckpointTaskRequest{ContainerID: "one"})
	_, resume := service.Resume(d.Context(), &tasks.ResumeTaskRequest{ContainerID: "one"})
	_, exec := service.Exec(d.Context(), &tasks.ExecProcessRequest{ContainerID: "one", ExecID: "bad id"})
	for name, test := range map[string]struct {
		err   error
		class func(error) bool
	}{
		"create again":   {errgrpc.ToNative(create), errdefs.IsAlreadyExists},
		"start again":    {errgrpc.ToNative(start), errdefs.IsFailedPrecondition},
		"start no exec":  {errgrpc.ToNative(missing), errdefs.IsNotFound},
		"delete":         {errgrpc.ToNative(running), errdefs.IsFailedPrecondition},
		"checkpoint":     {errgrpc.ToNative(checkpoint), errdefs.IsNotImplemented},
		"resume":         {errgrpc.ToNative(resume), errdefs.IsFailedPrecondition},
		"exec of bad id": {errgrpc.ToNative(exec), errdefs.IsInvalidArgument},
		"signal":         {task.Kill(d.Context(), syscall.Signal(200)), errdefs.IsInvalidArgument},
	} {
		if !test.class(test.err) {
			t.Errorf("%s: %v has the wrong class", name, test.err)
		}
	}
}

// TestRestoreIsRefused before anything is made.
func TestRestoreIsRefused(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	c := newContainer(t, d, ref, "one", oci.WithProcessArgs("true"))
	_, err := c.NewTask(d.Context(), cio.NullIO, containerd.WithRestoreImagePath("/nowhere"))
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "CRIU") {
		t.Errorf("restore: %v", err)
	}
}

// TestUpdate changes limits while the container runs and sees them inside.
func TestUpdate(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	task := runTask(t, d, ref, "one", oci.WithProcessArgs("sleep", "600"))
	limit, memory := int64(77), int64(64<<20)
	err := task.Update(d.Context(), containerd.WithResources(&specs.LinuxResources{
		Pids: &specs.LinuxPids{Limit: &limit}, Memory: &specs.LinuxMemory{Limit: &memory},
	}))
	if errdefs.IsFailedPrecondition(err) {
		t.Skip(err) // no controllers, as in a private cgroup2 mount
	}
	must(t, err)
	out := d.MustCtr("tasks", "metrics", "--format", "json", "one")
	wantAll(t, out, "77", fmt.Sprint(memory))
}

// TestRuntimeInfo asks for the features as nerdctl and the kubelet do.
func TestRuntimeInfo(t *testing.T) {
	d := StartDaemon(t)
	info, err := d.Client().RuntimeInfo(d.Context(), d.Runtime, &runc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, ok := info.Features.(*features.Features)
	if !ok || info.Name != Sardine || info.Version.Version == "" {
		t.Fatalf("runtime info: %+v", info)
	}
	if f.Linux == nil || f.Linux.MountExtensions == nil || !*f.Linux.MountExtensions.IDMap.Enabled || len(f.Hooks) != 6 {
		t.Errorf("features: %+v", f)
	}
}

// TestKillAll: a signal for every process of a container, by name.
func TestKillAll(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	task := runTask(t, d, ref, "one", oci.WithProcessArgs("sh", "-c", "trap : USR1; sleep 600 & while :; do wait; done"))
	testnode.Eventually(t, "there are two processes", func() bool { p, err := task.Pids(d.Context()); return err == nil && len(p) == 2 })
	d.MustCtr("tasks", "kill", "--all", "--signal", "SIGTERM", "one")
	testnode.Eventually(t, "the child has ended", func() bool { p, err := task.Pids(d.Context()); return err == nil && len(p) == 1 })
	d.MustCtr("tasks", "kill", "-s", "9", "one")
	if code := waitProcess(t, d, task); code != 137 {
		t.Errorf("exit status %d", code)
	}
}
