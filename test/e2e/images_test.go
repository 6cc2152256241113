// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPull(t *testing.T) {
	d := StartDaemon(t)
	ref := StartRegistry(t).Push("e2e/busybox:1", Busybox(t))
	d.MustCtr("images", "pull", "--plain-http", ref)
	wantAll(t, d.MustCtr("images", "ls"), ref)
	out, err := d.Ctr(d.RunArgs("--rm", ref, "c", "echo", "pulled")...)
	if err != nil || out != "pulled\n" {
		t.Errorf("run of the pulled image: %q, %v", out, err)
	}
	d.MustCtr("images", "rm", "--sync", ref)
	if out := d.MustCtr("images", "ls", "-q"); out != "" {
		t.Errorf("images after rm: %q", out)
	}
	if out := d.MustCtr("content", "ls", "-q"); out != "" {
		t.Errorf("content after a synchronous rm: %q", out)
	}
	if out := d.MustCtr("snapshots", "ls"); strings.Count(out, "\n") != 1 {
		t.Errorf("snapshots after a synchronous rm:\n%s", out)
	}
}

func TestPullLocal(t *testing.T) {
	// The client fetches, rather than the daemon's transfer service.
	d := StartDaemon(t)
	ref := StartRegistry(t).Push("e2e/busybox:1", Busybox(t))
	d.MustCtr("images", "pull", "--local", "--plain-http", ref)
	wantAll(t, d.MustCtr("images", "ls", "-q"), ref)
}

func TestPullErrors(t *testing.T) {
	d := StartDaemon(t)
	registry := StartRegistry(t)
	if _, err := d.Ctr("images", "pull", "--plain-http", registry.Host+"/none/such:1"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("pull of a missing image: %v, want not found", err)
	}
	if _, err := d.Ctr("images", "pull", "--plain-http", unusedAddress(t)+"/none/such:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("pull from a missing registry: %v, want connection refused", err)
	}
}

func TestPush(t *testing.T) {
	d := StartDaemon(t)
	registry := StartRegistry(t)
	ref := d.ImportBusybox()
	target := registry.Host + "/pushed/busybox:2"
	d.MustCtr("images", "push", "--plain-http", target, ref)
	d.MustCtr("images", "rm", "--sync", ref)
	d.MustCtr("images", "pull", "--plain-http", target)
}

func TestImportExport(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	path := filepath.Join(d.Dir, "export.tar")
	d.MustCtr("images", "export", "--local", path, ref) // the other way, ctr may end before the archive is written
	names := tarNames(t, path)
	for _, want := range []string{"oci-layout", "index.json", "manifest.json"} {
		if !names[want] {
			t.Errorf("the exported archive has no %s", want)
		}
	}
	before := d.MustCtr("images", "ls")
	d.MustCtr("images", "rm", "--sync", ref)
	d.MustCtr("images", "import", path)
	if after := d.MustCtr("images", "ls"); after != before {
		t.Errorf("after export and import:\n%s\nbefore:\n%s", after, before)
	}
	d.MustCtr("images", "tag", ref, "localhost/e2e/other:1")
	wantAll(t, d.MustCtr("images", "ls", "-q"), "localhost/e2e/other:1")
}

func tarNames(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := map[string]bool{}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names[header.Name] = true
	}
}

func TestManyLayers(t *testing.T) {
	const count = 127 // and busybox: 128, overlay's limit before kernel 5.16 or so is higher
	d := StartDaemon(t)
	layers := []v1.Layer{BusyboxLayer(t)}
	for i := range count {
		layers = append(layers, Layer(t, Regular("layers/"+strings.Repeat("x", i+1), nil)))
	}
	ref := "localhost/e2e/layers:1"
	d.Import(ref, Image(t, v1.Config{}, layers...))
	out, err := d.Ctr(d.RunArgs("--rm", ref, "c", "sh", "-c", "ls /layers | wc -l")...)
	if err != nil || strings.TrimSpace(out) != "127" {
		t.Errorf("run on 128 layers: %q, %v, want 127 files", out, err)
	}
}

func TestWhiteout(t *testing.T) {
	d := StartDaemon(t)
	ref := "localhost/e2e/whiteout:1"
	d.Import(ref, Image(t, v1.Config{}, BusyboxLayer(t),
		Layer(t, Directory("d"), Regular("d/old", nil), Regular("gone", nil)),
		Layer(t, Regular(".wh.gone", nil), Regular("d/.wh..wh..opq", nil), Regular("d/new", nil))))
	out, err := d.Ctr(d.RunArgs("--rm", ref, "c", "sh", "-c", "ls /d; test -e /gone || echo gone")...)
	if err != nil || out != "new\ngone\n" {
		t.Errorf("run on layers with whiteouts: %q, %v", out, err)
	}
}

func TestNativeSnapshotter(t *testing.T) {
	d := StartDaemon(t)
	ref := StartRegistry(t).Push("e2e/busybox:1", Busybox(t))
	d.MustCtr("images", "pull", "--local", "--plain-http", "--snapshotter", "native", ref)
	out, err := d.Ctr(d.RunArgs("--rm", "--snapshotter", "native", ref, "c", "echo", "native")...)
	if err != nil || out != "native\n" {
		t.Errorf("run on the native snapshotter: %q, %v", out, err)
	}
}
