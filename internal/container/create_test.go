// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/testnode"
)

// wantNothing checks that a failed create left no container and no directory; newNode
// checks the rest of the node.
func (n *node) wantNothing() {
	n.t.Helper()
	if list := n.List(""); len(list) > 0 {
		n.t.Errorf("%d containers are left", len(list))
	}
	for _, dir := range []string{n.Dir, n.Links} {
		left, err := filepath.Glob(filepath.Join(dir, n.namespace, "*"))
		if err != nil || len(left) > 0 {
			n.t.Errorf("left: %q, %v", left, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) > 0 {
		n.t.Errorf("told: %q", n.events)
	}
}

func TestCreateErrors(t *testing.T) {
	n := newNode(t)
	for name, test := range map[string]struct {
		change func(*Request, *specs.Spec)
		class  func(error) bool
		text   string
	}{
		"no process":      {func(_ *Request, s *specs.Spec) { s.Process = nil }, errdefs.IsInvalidArgument, "process: is missing"},
		"empty arguments": {func(_ *Request, s *specs.Spec) { s.Process.Args = nil }, errdefs.IsInvalidArgument, "process.args"},
		"no root":         {func(_ *Request, s *specs.Spec) { s.Root = nil }, errdefs.IsInvalidArgument, "root.path"},
		"missing root":    {func(_ *Request, s *specs.Spec) { s.Root.Path = "/no/such/root" }, errdefs.IsNotFound, "/no/such/root"},
		"missing layer": {func(r *Request, _ *specs.Spec) {
			r.Rootfs = []rootfs.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/no/such/lower:/no"}}}
		}, nil, "/no/such/lower"},
		"missing bind": {func(_ *Request, s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: "/no/such/source", Options: []string{"bind"}})
		}, errdefs.IsNotFound, "/no/such/source"},
		"bad id":       {func(r *Request, _ *specs.Spec) { r.ID = "a/b" }, errdefs.IsInvalidArgument, "a/b"},
		"hidden id":    {func(r *Request, _ *specs.Spec) { r.ID = ".hidden" }, errdefs.IsInvalidArgument, ".hidden"},
		"bad cgroup":   {func(_ *Request, s *specs.Spec) { s.Linux.CgroupsPath = "/a/../b" }, errdefs.IsInvalidArgument, "cgroupsPath"},
		"bad stream":   {func(r *Request, _ *specs.Spec) { r.Stdio.Stdout = "gopher://x" }, errdefs.IsInvalidArgument, "gopher"},
		"missing FIFO": {func(r *Request, _ *specs.Spec) { r.Stdio.Stdout = "/no/such/fifo" }, errdefs.IsNotFound, "/no/such/fifo"},
		"missing cwd":  {func(_ *Request, s *specs.Spec) { s.Process.Cwd = "relative" }, errdefs.IsInvalidArgument, "cwd"},
		"failing hook": {func(_ *Request, s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
		}, nil, "/bin/false"},
		"missing netns": {func(_ *Request, s *specs.Spec) { s.Linux.Namespaces[2].Path = "/no/such/ns" }, nil, "/no/such/ns"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := n.spec("true")
			r := n.request("one", spec)
			test.change(r, spec)
			r.Spec = n.request("one", spec).Spec
			_, err := n.Create(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v; want one with %q", err, test.text)
			}
			if test.class != nil && !test.class(err) {
				t.Errorf("error %v has the wrong class", err)
			}
			n.wantNothing()
		})
	}
}

func TestCreateBadJSON(t *testing.T) {
	n := newNode(t)
	for _, spec := range []string{"", "{", `{"process": 3}`} {
		r := &Request{Namespace: n.namespace, ID: "one", Spec: []byte(spec)}
		if _, err := n.Create(t.Context(), r); !errdefs.IsInvalidArgument(err) {
			t.Errorf("spec %q: %v", spec, err)
		}
	}
	n.wantNothing()
}

// TestCreateIsCancelled: the client goes away while a hook runs.
func TestCreateIsCancelled(t *testing.T) {
	n := newNode(t)
	spec := n.spec("true")
	spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "100"}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := n.Create(ctx, n.request("one", spec)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	n.wantNothing()
	n.delete(n.create("one", "true")) // the id is free again
}

// TestFullDisk: the records' file system has room for the spec and nothing else.
func TestFullDisk(t *testing.T) {
	n := newNode(t)
	mounted := filepath.Join(n.Dir, n.namespace)
	if err := os.MkdirAll(mounted, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", mounted, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(mounted, unix.MNT_DETACH)
	_, err := n.Create(t.Context(), n.request("one", n.spec("true")))
	if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("error %v", err)
	}
	n.wantNothing()
}

// TestHooks: what each hook is told, and when it runs.
func TestHooks(t *testing.T) {
	n := newNode(t)
	log := filepath.Join(t.TempDir(), "log")
	hook := func(name string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c",
			`echo ` + name + ` $(sed 's/.*"status":"\([a-z]*\)".*/\1/') >>` + log}}}
	}
	spec := n.spec("true")
	//nolint:staticcheck // Prestart is deprecated, and still used.
	spec.Hooks = &specs.Hooks{Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), Poststart: hook("poststart"), Poststop: hook("poststop")}
	c := n.createSpec("one", spec)
	n.start(c)
	n.wait(c)
	n.delete(c)
	text, err := os.ReadFile(log)
	if want := "prestart creating\ncreateRuntime creating\npoststart running\npoststop stopped\n"; err != nil || string(text) != want {
		t.Errorf("hooks ran: %q, %v; want %q", text, err, want)
	}
}

// TestFaults runs the tests of a build with faults, if this is not one.
func TestFaults(t *testing.T) {
	testnode.NeedRoot(t)
	if fault.Enabled {
		t.Skip("this is the build with faults")
	}
	cmd := exec.Command("go", "test", "-count=1", "-tags", "faults", "-run", "^TestEachFault$", ".")
	cmd.Env = append(os.Environ(), "SARDINE_INIT="+initPath)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// A spec that lies in a file already is not written a second time.
func TestSpecIsLinked(t *testing.T) {
	n := newNode(t)
	r := n.request("one", n.spec("exit 3"))
	r.SpecFile = filepath.Join(filepath.Dir(n.Dir), "spec.json")
	if err := os.WriteFile(r.SpecFile, r.Spec, 0o600); err != nil {
		t.Fatal(err)
	}
	c := n.createRequest(r)
	bundled, err := os.Stat(filepath.Join(c.Bundle(), configName))
	if err != nil {
		t.Fatal(err)
	}
	given, err := os.Stat(r.SpecFile)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(given, bundled) {
		t.Error("the bundle has a file of its own")
	}
	n.start(c)
	n.wait(c)
	n.delete(c)
	if _, err := os.Stat(r.SpecFile); err != nil {
		t.Error(err)
	}
}
