// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const vendorSpec = `cdiVersion: "0.7.0"
kind: vendor.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/vendor0, hostPath: /dev/null, type: c, major: 1, minor: 3}]
    env: ["GPU=0"]
    additionalGids: [44]
containerEdits:
  env: ["VENDOR=yes"]
  mounts: [{hostPath: /etc/hostname, containerPath: /etc/vendor, options: [ro, rbind]}]
  hooks: [{hookName: createContainer, path: /bin/hook, args: [hook]}]
`

func writeSpec(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func gpuContainer(names ...string) *Container {
	c := testContainer()
	for _, n := range names {
		c.Config.CDIDevices = append(c.Config.CDIDevices, &runtime.CDIDevice{Name: n})
	}
	return c
}

func TestCDI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not yet")
	n := testNode()
	n.CDISpecDirs = []string{dir}
	tr := newTranslator(t, n)
	if _, err := tr.Translate(gpuContainer("vendor.com/gpu=0")); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "vendor.com/gpu=0") {
		t.Fatalf("got %v", err)
	}
	writeSpec(t, dir, "vendor.yaml", vendorSpec)
	c := gpuContainer("vendor.com/gpu=0", "vendor.com/gpu=0")
	c.Config.Annotations = map[string]string{"cdi.k8s.io/plugin": "vendor.com/gpu=0"}
	c.Config.Envs = []*runtime.KeyValue{{Key: "GPU", Value: []byte("mine")}}
	r, err := tr.Translate(c)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Spec
	if !slices.Contains(s.Process.Env, "GPU=0") || !slices.Contains(s.Process.Env, "VENDOR=yes") || slices.Contains(s.Process.Env, "GPU=mine") {
		t.Errorf("environment %q", s.Process.Env)
	}
	if len(s.Linux.Devices) != 1 || s.Linux.Devices[0].Path != "/dev/vendor0" || len(s.Linux.Resources.Devices) != 2 {
		t.Errorf("devices %+v", s.Linux)
	}
	if len(s.Hooks.CreateContainer) != 1 || !slices.Contains(r.User.Linux.SupplementalGroups, 44) {
		t.Errorf("hooks %+v, user %v", s.Hooks, r.User)
	}
	if s.Mounts[len(s.Mounts)-1].Destination != "/etc/vendor" && !slices.ContainsFunc(mountPoints(r), func(p string) bool { return p == "/etc/vendor" }) {
		t.Errorf("mounts %q", mountPoints(r))
	}
	if tr.defaults.Hooks != nil {
		t.Error("the defaults were changed")
	}
}

func mountPoints(r *Result) []string {
	var list []string
	for _, m := range r.Spec.Mounts {
		list = append(list, m.Destination)
	}
	return list
}

// TestInjectCDI is what NRI plugins ask for, in a spec that is made already.
func TestInjectCDI(t *testing.T) {
	n := testNode()
	n.CDISpecDirs = []string{t.TempDir()}
	writeSpec(t, n.CDISpecDirs[0], "v.yaml", vendorSpec)
	s := translate(t, n, testContainer()).Spec
	if err := newTranslator(t, n).InjectCDI(s, []string{"vendor.com/gpu=0"}); err != nil || !slices.Contains(s.Process.Env, "GPU=0") {
		t.Errorf("%q, %v", s.Process.Env, err)
	}
	if err := newTranslator(t, testNode()).InjectCDI(s, nil); err != nil {
		t.Error("nothing was asked for:", err)
	}
}

// TestCDIFollows: files come, change and go while the daemon runs, as device plugins write them.
func TestCDIFollows(t *testing.T) {
	dir := t.TempDir()
	n := testNode()
	n.CDISpecDirs = []string{dir}
	tr := newTranslator(t, n)
	env := func(device string) string {
		t.Helper()
		r, err := tr.Translate(gpuContainer(device))
		if err != nil {
			return err.Error()
		}
		return strings.Join(r.Spec.Process.Env, " ")
	}
	for i, value := range []string{"one", "two", "three"} {
		writeSpec(t, dir, "v.yaml", strings.ReplaceAll(vendorSpec, "VENDOR=yes", "VENDOR="+value))
		if got := env("vendor.com/gpu=0"); !strings.Contains(got, "VENDOR="+value) {
			t.Errorf("%d: %s", i, got)
		}
	}
	writeSpec(t, dir, "other.yaml", strings.ReplaceAll(vendorSpec, "vendor.com", "other.com"))
	if got := env("other.com/gpu=0"); !strings.Contains(got, "GPU=0") {
		t.Error(got)
	}
	// A file nobody can read spoils no other, and is named when a device is missing.
	writeSpec(t, dir, "bad.yaml", "kind: [")
	if got := env("other.com/gpu=0"); !strings.Contains(got, "GPU=0") {
		t.Error(got)
	}
	if got := env("bad.com/gpu=0"); !strings.Contains(got, "no spec") || !strings.Contains(got, "bad.yaml") {
		t.Error(got)
	}
	if err := os.Remove(filepath.Join(dir, "v.yaml")); err != nil {
		t.Fatal(err)
	}
	if got := env("vendor.com/gpu=0"); !strings.Contains(got, "has vendor.com/gpu=0") {
		t.Error(got)
	}
}

func BenchmarkCDI(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "v.yaml"), []byte(vendorSpec), 0o644); err != nil {
		b.Fatal(err)
	}
	n := testNode()
	n.CDISpecDirs = []string{dir}
	tr, c := newTranslator(b, n), gpuContainer("vendor.com/gpu=0")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Translate(c); err != nil {
			b.Fatal(err)
		}
	}
}
