// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/imageverifier"
	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/image/imagetest"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestPullByTag(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	ref := f.Registry.Push(t, "library/two:1", img)
	id := f.pull(t, ref)
	if want := imagetest.ID(t, img); id != want {
		t.Fatalf("id %s, want %s", id, want)
	}
	got, err := f.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := img.Digest()
	repo := f.Registry.Host + "/library/two"
	if got.ID != id || len(got.Tags) != 1 || got.Tags[0] != repo+":1" || len(got.Digests) != 1 || got.Digests[0] != repo+"@"+digest.String() {
		t.Errorf("image %+v", got)
	}
	if got.Config.Config.User != "1000:1000" || got.Target != digest.String() || got.Size <= 0 {
		t.Errorf("image %+v", got)
	}
	for _, alias := range []string{id, strings.TrimPrefix(id, "sha256:"), id[7:19], id[:20], repo + "@" + digest.String(), repo + ":1@" + digest.String()} {
		if other, err := f.Resolve(t.Context(), alias); err != nil || other.ID != id {
			t.Errorf("resolve %s: %v, %v", alias, other, err)
		}
	}
}

// TestNames are those that containerd's CRI stores, with its labels.
func TestNames(t *testing.T) {
	f := newFixture(t, func(c *image.Config) { c.PinnedImages = map[string]string{"sandbox": "pinned.test/x:1"} })
	img := twoLayers(t)
	ref := f.Registry.Push(t, "two:1", img)
	id := f.pull(t, ref)
	digest, _ := img.Digest()
	list, err := f.Client.ImageService().List(imagetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{id: true, ref: true, f.Registry.Host + "/two@" + digest.String(): true}
	for _, record := range list {
		if !want[record.Name] || record.Target.Digest.String() != digest.String() || record.Labels["io.cri-containerd.image"] != "managed" ||
			record.Labels["io.cri-containerd.pinned"] != "" {
			t.Errorf("record %+v", record)
		}
		delete(want, record.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing names: %v", want)
	}
}

func TestPinned(t *testing.T) {
	registry := imagetest.NewRegistry(t, false)
	f := newFixture(t, func(c *image.Config) { c.PinnedImages = map[string]string{"base": registry.Host + "/two:1"} })
	f.pull(t, registry.Push(t, "two:1", twoLayers(t)))
	img, err := f.Resolve(t.Context(), registry.Host+"/two:1")
	if err != nil || !img.Pinned {
		t.Fatalf("%+v, %v", img, err)
	}
	f.restart(t)
	if img, err = f.Resolve(t.Context(), img.ID); err != nil || !img.Pinned {
		t.Fatalf("after restart: %+v, %v", img, err)
	}
}

func TestPullByDigest(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	f.Registry.Push(t, "two:1", img)
	digest, _ := img.Digest()
	ref := f.Registry.Host + "/two@" + digest.String()
	id := f.pull(t, ref)
	got, err := f.Resolve(t.Context(), id)
	if err != nil || len(got.Tags) != 0 || len(got.Digests) != 1 || got.Digests[0] != ref {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestPullAgainFetchesNothing(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.pull(t, ref)
	blobs := f.Registry.Blobs.Load()
	before := f.Registry.Manifests.Load()
	f.pull(t, ref)
	if n := f.Registry.Blobs.Load(); n != blobs {
		t.Errorf("%d blobs fetched again", n-blobs)
	}
	if f.Registry.Manifests.Load() == before {
		t.Error("the registry was not asked")
	}
}

func TestTagMoves(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "x:1", twoLayers(t))
	first := f.pull(t, ref)
	f.Registry.Push(t, "x:1", imagetest.Image(t, v1.Config{}, imagetest.Layer(t, imagetest.File{Name: "other"})))
	second := f.pull(t, ref)
	if img, err := f.Resolve(t.Context(), ref); err != nil || img.ID != second {
		t.Errorf("%+v, %v", img, err)
	}
	img, err := f.Resolve(t.Context(), first)
	if err != nil || len(img.Tags) != 0 || len(img.Digests) != 1 {
		t.Errorf("the old image: %+v, %v", img, err)
	}
}

func TestParallelPullsShare(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.Registry.Slow(4, 20*time.Millisecond)
	var blobs atomic.Int64
	slow := f.Registry
	slow.Guard(counting(&blobs))
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			// Half of them bring a login, and so ask for themselves, but share the layers.
			o := image.PullOptions{}
			if n%2 == 1 {
				o.Auth = image.Auth{Username: "u", Password: "p"}
			}
			if _, err := f.Pull(t.Context(), ref, o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := blobs.Load(); n != 3 { // the config and two layers
		t.Errorf("%d blobs fetched, want 3", n)
	}
}

// counting counts blobs and takes a while for each.
func counting(n *atomic.Int64) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			n.Add(1)
			time.Sleep(50 * time.Millisecond)
		}
		return false
	}
}

func TestOneOfTwoWaitersCancels(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.Registry.Slow(5, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	done := make(chan error)
	go func() {
		_, err := f.Pull(t.Context(), ref, image.PullOptions{})
		done <- err
	}()
	if _, err := f.Pull(ctx, ref, image.PullOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled pull: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("the other pull: %v", err)
	}
}

func TestCancelledPullEnds(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.Registry.Stall(1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Pull(ctx, ref, image.PullOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	begin := time.Now()
	if err := f.Close(); err != nil || time.Since(begin) > testnode.Patience/2 { // the registry stalls for a minute
		t.Errorf("close: %v after %v", err, time.Since(begin))
	}
}

func TestCloseEndsPull(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.Registry.Stall(1)
	done := make(chan error)
	go func() {
		_, err := f.Pull(t.Context(), ref, image.PullOptions{})
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("a pull from a stalled registry succeeded")
	}
	if _, err := f.Pull(t.Context(), ref, image.PullOptions{}); !errdefs.IsUnavailable(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestStalledPull(t *testing.T) {
	f := newFixture(t, func(c *image.Config) { c.ImagePullProgressTimeout = "3s" })
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.Registry.Stall(5)
	begin := time.Now()
	_, err := f.Pull(t.Context(), ref, image.PullOptions{})
	if !errors.Is(err, image.ErrRegistryUnavailable) || !errdefs.IsDeadlineExceeded(err) || !strings.Contains(err.Error(), "3s") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > testnode.Patience/2 {
		t.Errorf("took %v", took)
	}
	f.Registry.Guard(nil)
	f.pullInTime(t, ref)
}

// pullInTime pulls with a short image_pull_progress_timeout: again when nothing on this machine progressed for so long.
func (f *fixture) pullInTime(t *testing.T, ref string) {
	t.Helper()
	testnode.Eventually(t, "a pull that progresses succeeds", func() bool {
		_, err := f.Pull(t.Context(), ref, image.PullOptions{})
		if err != nil && !errdefs.IsDeadlineExceeded(err) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// TestSlowPull takes longer than the timeout, but never stands still.
func TestSlowPull(t *testing.T) {
	f := newFixture(t, func(c *image.Config) { c.ImagePullProgressTimeout = "2s" })
	ref := f.Registry.Push(t, "big:1", imagetest.Image(t, v1.Config{},
		imagetest.Layer(t, imagetest.File{Name: "big", Data: strings.Repeat("sardine", 1<<16)})))
	f.Registry.Slow(8, 300*time.Millisecond)
	f.pullInTime(t, ref)
}

func TestPullErrors(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	closed := imagetest.NewRegistry(t, false)
	answer := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
	}
	closed.Guard(answer(http.StatusServiceUnavailable))
	for _, c := range []struct {
		name, ref string
		guard     func(http.ResponseWriter, *http.Request) bool
		auth      image.Auth
		ok        func(error) bool
	}{
		{"empty", "", nil, image.Auth{}, errdefs.IsInvalidArgument},
		{"malformed", "A B", nil, image.Auth{}, errdefs.IsInvalidArgument},
		{"hostile", "../../etc/passwd", nil, image.Auth{}, errdefs.IsInvalidArgument},
		{"newline", "x\ny", nil, image.Auth{}, errdefs.IsInvalidArgument},
		{"huge", strings.Repeat("a/", 1<<19), nil, image.Auth{}, errdefs.IsInvalidArgument},
		{"an id", "sha256:" + strings.Repeat("a", 64), nil, image.Auth{}, errdefs.IsInvalidArgument},
		{"bad base64", ref, nil, image.Auth{Auth: "!!"}, errdefs.IsInvalidArgument},
		{"no colon", ref, nil, image.Auth{Auth: "YWJj"}, errdefs.IsInvalidArgument},
		{"bad server", ref, nil, image.Auth{ServerAddress: "http://%zz"}, errdefs.IsInvalidArgument},
		{"token with newline", ref, nil, image.Auth{RegistryToken: "a\r\nX: y"}, errdefs.IsInvalidArgument},
		{"missing tag", f.Registry.Host + "/two:2", nil, image.Auth{}, errdefs.IsNotFound},
		{"missing repository", f.Registry.Host + "/none", nil, image.Auth{}, errdefs.IsNotFound},
		{"unauthorized", ref, answer(http.StatusUnauthorized), image.Auth{}, errdefs.IsUnauthorized},
		{"forbidden", ref, answer(http.StatusForbidden), image.Auth{}, errdefs.IsPermissionDenied},
		{"unavailable", closed.Host + "/x", nil, image.Auth{}, isUnavailable},
		{"nobody there", "127.0.0.1:1/x", nil, image.Auth{}, isUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Registry.Guard(c.guard)
			_, err := f.Pull(t.Context(), c.ref, image.PullOptions{Auth: c.auth})
			if err == nil || !c.ok(err) {
				t.Errorf("%v", err)
			}
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	if list, err := f.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("images after failed pulls: %v, %v", list, err)
	}
}

func isUnavailable(err error) bool {
	return errors.Is(err, image.ErrRegistryUnavailable) && errdefs.IsUnavailable(err)
}

func TestCorruptLayer(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	ref := f.Registry.Push(t, "two:1", img)
	layers, _ := img.Layers()
	bad, _ := layers[1].Digest()
	f.Registry.Guard(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, bad.String()) {
			return false
		}
		size, _ := layers[1].Size()
		_, _ = w.Write(make([]byte, size))
		return true
	})
	if _, err := f.Pull(t.Context(), ref, image.PullOptions{}); err == nil {
		t.Error("an image with a wrong layer was pulled")
	}
	if list, err := f.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	f.Registry.Guard(nil)
	f.pull(t, ref)
}

func TestIndex(t *testing.T) {
	f := newFixture(t, func(c *image.Config) {
		c.RuntimePlatforms = map[string]image.Platform{"risc": {Platform: "linux/riscv64", Snapshotter: "native"}, "nat": {Snapshotter: "native"}}
	})
	layer := func(arch string) v1.Layer { return imagetest.Layer(t, imagetest.File{Name: "arch", Data: arch}) }
	own := imagetest.ImageFor(t, runtime.GOARCH, v1.Config{}, layer("own"))
	risc := imagetest.ImageFor(t, "riscv64", v1.Config{}, layer("riscv64"))
	mips := imagetest.ImageFor(t, "mips64le", v1.Config{}, layer("mips64le"))
	ref := f.Registry.PushIndex(t, "multi:1", imagetest.Index(t, map[string]v1.Image{"mips64le": mips, "riscv64": risc, runtime.GOARCH: own}))
	if id := f.pull(t, ref); id != imagetest.ID(t, own) {
		t.Errorf("own platform: %s", id)
	}
	id, err := f.Pull(t.Context(), ref, image.PullOptions{RuntimeHandler: "risc"})
	if err != nil || id != imagetest.ID(t, risc) {
		t.Fatalf("riscv64: %s, %v", id, err)
	}
	got, err := f.ResolveFor(t.Context(), ref, "risc")
	if err != nil || got.ID != id || got.RuntimeHandler != "risc" || got.Snapshotter != "native" {
		t.Errorf("for the handler: %+v, %v", got, err)
	}
	if got, err := f.Resolve(t.Context(), ref); err != nil || got.ID != imagetest.ID(t, own) || got.RuntimeHandler != "" {
		t.Errorf("without: %+v, %v", got, err)
	}
	f.restart(t)
	view, err := f.Use(t.Context(), id, "native")
	if err != nil {
		t.Fatal(err)
	}
	defer view.Release()
	if data, err := view.ReadFile("/arch"); err != nil || string(data) != "riscv64" {
		t.Errorf("%q, %v", data, err)
	}
	if list, err := f.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestNoSuchPlatform(t *testing.T) {
	f := newFixture(t)
	other := imagetest.ImageFor(t, "mips64le", v1.Config{}, imagetest.Layer(t, imagetest.File{Name: "x"}))
	ref := f.Registry.PushIndex(t, "multi:1", imagetest.Index(t, map[string]v1.Image{"mips64le": other}))
	if _, err := f.Pull(t.Context(), ref, image.PullOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}

// verifier lets one image pass.
type verifier struct{ ok string }

func (v verifier) VerifyImage(_ context.Context, name string, desc ocispec.Descriptor) (*imageverifier.Judgement, error) {
	if desc.Digest == "" {
		return nil, errors.New("no digest")
	}
	return &imageverifier.Judgement{OK: name == v.ok, Reason: "unsigned"}, nil
}

func TestVerifier(t *testing.T) {
	f := newFixture(t)
	good, bad := f.Registry.Push(t, "good:1", twoLayers(t)), f.Registry.Push(t, "bad:1", twoLayers(t))
	f.deps.Verifiers = map[string]imageverifier.ImageVerifier{"test": verifier{good}}
	f.restart(t)
	f.pull(t, good)
	_, err := f.Pull(t.Context(), bad, image.PullOptions{})
	if !errors.Is(err, image.ErrRefused) || !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "unsigned") {
		t.Errorf("%v", err)
	}
}

func TestDiscardedLayers(t *testing.T) {
	f := newFixture(t, func(c *image.Config) { c.DiscardUnpackedLayers = true })
	id := f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	f.restart(t)
	view, err := f.Use(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	view.Release()
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
