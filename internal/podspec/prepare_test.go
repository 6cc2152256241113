// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	n := testNode()
	n.Host.Resolve = nil
	c := testContainer()
	c.Config.Mounts = []*runtime.Mount{{ContainerPath: "/v", HostPath: filepath.Join(dir, "link", "a", "b")}}
	r := translate(t, n, c)
	want := filepath.Join(dir, "real", "a", "b")
	if _, err := os.Stat(want); err == nil {
		t.Error("the translation made a directory")
	}
	for range 2 {
		if err := r.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(want); err != nil || !info.IsDir() || info.Mode().Perm() != 0o755 {
		t.Error(info, err)
	}
	if source := r.Spec.Mounts[6].Source; source != want {
		t.Errorf("source %q", source)
	}
}

// TestUnusableSource: what no directory can be made of.
func TestUnusableSource(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{file + "/x", filepath.Join(dir, "dangling"), filepath.Join(dir, "loop")} {
		n := testNode()
		n.Host.Resolve = nil
		c := testContainer()
		c.Config.Mounts = []*runtime.Mount{{ContainerPath: "/v", HostPath: source}}
		r, err := newTranslator(t, n).Translate(c)
		if err == nil {
			err = r.Prepare()
		}
		if !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: %v", source, err)
		}
	}
}
