// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/image/imagetest"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/testnode"
)

func manyLayers(t testing.TB, name string, n int) v1.Image {
	layers := make([]v1.Layer, n)
	for i := range layers {
		layers[i] = imagetest.Layer(t, imagetest.File{Name: fmt.Sprintf("%s%d", name, i), Data: name})
	}
	return imagetest.Image(t, v1.Config{}, layers...)
}

// observing counts how many blobs are read at a time.
func observing(now, most *atomic.Int64) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			now.Add(-1)
		}
		return false
	}
}

// tree is a mounted root file system that a test looks into.
type tree struct {
	t    testing.TB
	root int
}

func mounted(t testing.TB, mounts []rootfs.Mount) tree {
	t.Helper()
	fd, err := rootfs.Open(mounts, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return tree{t, fd}
}

func (r tree) read(path string) string {
	r.t.Helper()
	fd, err := kernel.OpenInRoot(r.root, path, unix.O_RDONLY, 0)
	if err != nil {
		return err.Error()
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(f); err != nil {
		r.t.Fatal(err)
	}
	return buf.String()
}

func (r tree) exists(path string) bool {
	fd, err := kernel.OpenInRoot(r.root, path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

func (r tree) write(path, text string) error {
	fd, err := kernel.OpenInRoot(r.root, path, unix.O_WRONLY|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

func directories(t testing.TB, base string) (upper, work string) {
	t.Helper()
	upper, work = filepath.Join(base, "upper"), filepath.Join(base, "work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return upper, work
}

func (f *fixture) use(t testing.TB, ref, snapshotter string) image.View {
	t.Helper()
	view, err := f.Use(t.Context(), ref, snapshotter)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func mountsOf(t testing.TB, v image.View, upper, work string) []rootfs.Mount {
	t.Helper()
	mounts, err := v.Mounts(upper, work)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

// TestMounts looks at images of several layers, one and none, in both snapshotters,
// read-only and with a writable layer in an awkward directory.
func TestMounts(t *testing.T) {
	f := newFixture(t)
	one := imagetest.Image(t, v1.Config{}, imagetest.Layer(t, imagetest.File{Name: "etc/"}, imagetest.File{Name: "etc/passwd", Data: "one"}))
	refs := map[string]string{
		"two":  f.Registry.Push(t, "two:1", twoLayers(t)),
		"one":  f.Registry.Push(t, "one:1", one),
		"none": f.Registry.Push(t, "none:1", imagetest.Image(t, v1.Config{})),
	}
	want := map[string]string{"two": "root:x:0:0::/:/bin/sh\n", "one": "one", "none": ""}
	for _, snapshotter := range []string{"", "native"} {
		for name, ref := range refs {
			t.Run(snapshotter+name, func(t *testing.T) {
				f.pull(t, ref)
				view := f.use(t, ref, snapshotter)
				defer view.Release()
				lookReadOnly(t, view, want[name])
				lookWritable(t, view, name == "two")
			})
		}
	}
}

func lookReadOnly(t *testing.T, view image.View, passwd string) {
	root := mounted(t, mountsOf(t, view, "", ""))
	if passwd != "" && root.read("/etc/passwd") != passwd {
		t.Errorf("passwd %q", root.read("/etc/passwd"))
	}
	if err := root.write("/new", "x"); !errors.Is(err, unix.EROFS) {
		t.Errorf("write to a read-only view: %v", err)
	}
}

func lookWritable(t *testing.T, view image.View, whiteouts bool) {
	upper, work := directories(t, filepath.Join(t.TempDir(), `a:b,c\d`))
	mounts := mountsOf(t, view, upper, work)
	if !slices.Contains(mounts[0].Options, "volatile") && kernel.NewFeatures(t.TempDir()).Has(kernel.FeatureOverlayVolatile) {
		t.Errorf("not volatile: %v", mounts[0].Options)
	}
	root := mounted(t, mounts)
	if err := root.write("/new", "x"); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(upper, "new")); err != nil || string(data) != "x" {
		t.Errorf("upper: %q, %v", data, err)
	}
	if whiteouts && (root.exists("/gone") || root.exists("/dir/old") || !root.exists("/dir/new")) {
		t.Error("whiteouts are not honoured")
	}
}

// TestManyLayers has more directories than mount(2) takes as options.
func TestManyLayers(t *testing.T) {
	f := newFixture(t)
	view := f.use(t, f.pull(t, f.Registry.Push(t, "many:1", manyLayers(t, "file", 70))), "")
	defer view.Release()
	root := mounted(t, mountsOf(t, view, "", ""))
	if root.read("/file0") != "file" || root.read("/file69") != "file" {
		t.Error("layers are missing")
	}
}

func TestReadFile(t *testing.T) {
	f := newFixture(t)
	img := imagetest.Image(t, v1.Config{}, imagetest.Layer(t,
		imagetest.File{Name: "etc/"},
		imagetest.File{Name: "etc/passwd", Type: tar.TypeSymlink, Link: "../../../../../etc/hostname"},
		imagetest.File{Name: "etc/shadow", Type: tar.TypeSymlink, Link: "/etc/real"},
		imagetest.File{Name: "etc/real", Data: "inside"},
		imagetest.File{Name: "loop", Type: tar.TypeSymlink, Link: "loop"},
		imagetest.File{Name: "fifo", Type: tar.TypeFifo},
		imagetest.File{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3},
		imagetest.File{Name: "big", Data: strings.Repeat("x", 1<<20)},
		imagetest.File{Name: "bigger", Data: strings.Repeat("x", 1<<20+1)}),
		imagetest.Layer(t, imagetest.File{Name: "etc/hostname", Data: "image"}))
	view := f.use(t, f.pull(t, f.Registry.Push(t, "files:1", img)), "")
	defer view.Release()
	for range 2 { // the second time from memory
		for path, want := range map[string]string{"/etc/passwd": "image", "etc/shadow": "inside", "/../../etc/real": "inside"} {
			if data, err := view.ReadFile(path); err != nil || string(data) != want {
				t.Errorf("%s: %q, %v", path, data, err)
			}
		}
		for _, path := range []string{"/missing", "/etc/real/x", "/etc/none/x"} {
			if _, err := view.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, path := range []string{"/loop", "/fifo", "/null", "/etc", "/bigger"} {
			if _, err := view.ReadFile(path); err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if data, err := view.ReadFile("/big"); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	data, _ := view.ReadFile("etc/real")
	data[0] = 'X'
	if again, _ := view.ReadFile("etc/real"); string(again) != "inside" {
		t.Error("a caller changed what others read")
	}
}

func TestCopyDirectory(t *testing.T) {
	f := newFixture(t)
	img := imagetest.Image(t, v1.Config{}, imagetest.Layer(t,
		imagetest.File{Name: "data/", Mode: 0o2750, UID: 12, GID: 34},
		imagetest.File{Name: "data/a", Data: "a", Mode: 0o4755, UID: 56, Xattrs: map[string]string{"user.test": "v"}},
		imagetest.File{Name: "data/hard", Type: tar.TypeLink, Link: "data/a", Mode: 0o4755, UID: 56},
		imagetest.File{Name: "data/soft", Type: tar.TypeSymlink, Link: "/etc/passwd"},
		imagetest.File{Name: "data/sub/", Mode: 0o700}, imagetest.File{Name: "data/sub/b", Data: strings.Repeat("b", 1<<20)},
		imagetest.File{Name: "link", Type: tar.TypeSymlink, Link: "/../../data"}),
		imagetest.Layer(t, imagetest.File{Name: "data/.wh.nothing"}))
	view := f.use(t, f.pull(t, f.Registry.Push(t, "copy:1", img)), "")
	defer view.Release()
	for _, path := range []string{"/data", "link", "/link/"} {
		to := t.TempDir()
		if err := view.CopyDirectory(path, to); err != nil {
			t.Fatal(err)
		}
		checkCopy(t, to)
	}
	to := t.TempDir()
	for _, path := range []string{"/none", "/data/a", "/data/a/b"} {
		if err := view.CopyDirectory(path, to); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func checkCopy(t *testing.T, to string) {
	t.Helper()
	var dir, a, hard unix.Stat_t
	for path, st := range map[string]*unix.Stat_t{"": &dir, "a": &a, "hard": &hard} {
		if err := unix.Lstat(filepath.Join(to, path), st); err != nil {
			t.Fatal(err)
		}
	}
	if dir.Uid != 12 || dir.Gid != 34 || dir.Mode&0o7777 != 0o2750 {
		t.Errorf("directory %d:%d %o", dir.Uid, dir.Gid, dir.Mode)
	}
	if a.Uid != 56 || a.Mode&0o7777 != 0o4755 || a.Ino != hard.Ino {
		t.Errorf("file %d %o, inodes %d and %d", a.Uid, a.Mode, a.Ino, hard.Ino)
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(filepath.Join(to, "a"), "user.test", value); err != nil || string(value[:n]) != "v" {
		t.Errorf("attribute %q, %v", value, err)
	}
	if link, err := os.Readlink(filepath.Join(to, "soft")); err != nil || link != "/etc/passwd" {
		t.Errorf("%q, %v", link, err)
	}
	if data, err := os.ReadFile(filepath.Join(to, "sub/b")); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// snapshotNames are the snapshots of the overlay snapshotter.
func (f *fixture) snapshotNames(t testing.TB) []string {
	t.Helper()
	var names []string
	err := f.Client.SnapshotService("overlayfs").Walk(imagetest.Context(t), func(_ context.Context, info snapshots.Info) error {
		names = append(names, info.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (f *fixture) empty(t testing.TB) bool {
	leases, err := f.Client.LeasesService().List(imagetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	return len(f.snapshotNames(t)) == 0 && len(leases) == 0
}

// TestNoDiskInAContainersLife is the point of views: after the pull, and after a restart,
// containers come and go without a transaction.
func TestNoDiskInAContainersLife(t *testing.T) {
	f := newFixture(t)
	id := f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	for _, when := range []string{"after the pull", "after a restart"} {
		before := f.settled(t)
		for range 20 {
			view := f.use(t, id, "")
			upper, work := directories(t, t.TempDir())
			mountsOf(t, view, upper, work)
			if _, err := view.ReadFile("/etc/passwd"); err != nil {
				t.Fatal(err)
			}
			view.Release()
		}
		for path, data := range f.Databases(t) {
			if !bytes.Equal(data, before[path]) {
				t.Errorf("%s: %s was written", when, path)
			}
		}
		f.restart(t)
	}
}

// settled has containerd's garbage collector run: by itself it does so for what a pull has deleted, fifty times as much later as it takes on
// this disk. Then it has nothing to do before somebody deletes something.
func (f *fixture) settled(t testing.TB) map[string][]byte {
	t.Helper()
	ctx, manager := imagetest.Context(t), f.Client.LeasesService()
	lease, err := manager.Create(ctx, leases.WithRandomID())
	if err == nil {
		err = manager.Delete(ctx, lease, leases.SynchronousDelete)
	}
	if err != nil {
		t.Fatal(err)
	}
	last, same := f.Databases(t), 0
	testnode.Eventually(t, "nobody writes", func() bool {
		time.Sleep(300 * time.Millisecond)
		before := last
		last = f.Databases(t)
		if same++; !maps.EqualFunc(before, last, bytes.Equal) {
			same = 0
		}
		return same == 5 // what had been asked for before may come late on a slow machine
	})
	return last
}

func TestRemove(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	ref, other := f.Registry.Push(t, "two:1", img), f.Registry.Push(t, "other/two:2", img)
	id := f.pull(t, ref)
	f.pull(t, other)
	if err := f.Remove(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{id, ref, other} {
		if _, err := f.Resolve(t.Context(), name); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.Remove(t.Context(), name); err != nil {
			t.Errorf("remove %s again: %v", name, err)
		}
	}
	if list, err := f.Client.ImageService().List(imagetest.Context(t)); err != nil || len(list) != 0 {
		t.Errorf("names are left: %v, %v", list, err)
	}
	if !f.empty(t) {
		t.Errorf("snapshots are left when Remove returns: %v", f.snapshotNames(t))
	}
	if err := f.Remove(t.Context(), ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("remove nothing: %v", err)
	}
	f.pull(t, ref)
}

func TestRemoveInUse(t *testing.T) {
	f := newFixture(t)
	id := f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	first, second := f.use(t, id, ""), f.use(t, id, "")
	root := mounted(t, mountsOf(t, first, "", ""))
	if err := f.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if list, err := f.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if root.read("/etc/passwd") == "" || first.Image().ID != id {
		t.Error("the layers are gone")
	}
	first.Release()
	first.Release() // once more is no harm
	if data, err := second.ReadFile("/etc/passwd"); err != nil || len(data) == 0 {
		t.Errorf("%q, %v", data, err)
	}
	second.Release()
	testnode.Eventually(t, "the layers are deleted", func() bool { return f.empty(t) })
}

// TestRestart has a daemon that dies while containers use an image that is removed.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	ref := f.Registry.Push(t, "two:1", img)
	id := f.pull(t, ref)
	f.use(t, id, "")
	unused := f.pull(t, f.Registry.Push(t, "one:1", manyLayers(t, "x", 1)))
	f.use(t, unused, "")
	for _, i := range []string{id, unused} {
		if err := f.Remove(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	f.restart(t)
	if _, err := f.Resolve(t.Context(), id); !errdefs.IsNotFound(err) {
		t.Errorf("a removed image is there again: %v", err)
	}
	view := f.use(t, id, "")
	if view.Image().Config.Config.User != "1000:1000" {
		t.Errorf("%+v", view.Image())
	}
	lookReadOnly(t, view, "root:x:0:0::/:/bin/sh\n")
	f.Reconcile(nil)
	testnode.Eventually(t, "the unused one goes", func() bool {
		return !slices.ContainsFunc(f.snapshotNames(t), func(n string) bool { return strings.Contains(n, "view") && !strings.Contains(n, chainID(view.Image())) })
	})
	view.Release()
	testnode.Eventually(t, "the used one goes with its last container", func() bool { return f.empty(t) })
	if _, err := f.Use(t.Context(), id, ""); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}

// TestReconcileKeeps what others need, and what has names.
func TestReconcileKeeps(t *testing.T) {
	f := newFixture(t)
	named := f.pull(t, f.Registry.Push(t, "one:1", manyLayers(t, "x", 1)))
	needed := f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	f.use(t, needed, "")
	if err := f.Remove(t.Context(), needed); err != nil {
		t.Fatal(err)
	}
	f.restart(t)
	f.Reconcile([]string{needed})
	time.Sleep(100 * time.Millisecond)
	for _, id := range []string{named, needed} {
		view := f.use(t, id, "")
		if id == named {
			view.Release()
		}
	}
}

func TestTwoImagesWithTheSameLayers(t *testing.T) {
	f := newFixture(t)
	layer := imagetest.Layer(t, imagetest.File{Name: "x"})
	first := f.pull(t, f.Registry.Push(t, "a:1", imagetest.Image(t, v1.Config{Env: []string{"A=1"}}, layer)))
	second := f.pull(t, f.Registry.Push(t, "b:1", imagetest.Image(t, v1.Config{Env: []string{"A=2"}}, layer)))
	view := f.use(t, second, "")
	for _, id := range []string{first, second} {
		if err := f.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	f.restart(t)
	again := f.use(t, second, "")
	if env := again.Image().Config.Config.Env; len(env) != 1 || env[0] != "A=2" {
		t.Errorf("%v", env)
	}
	view.Release() // of the daemon before: no effect here
	again.Release()
	f.Reconcile(nil)
	testnode.Eventually(t, "all is gone", func() bool { return f.empty(t) })
}

// TestForeignImage is pulled, tagged and removed by another client.
func TestForeignImage(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	ref := f.Registry.Push(t, "two:1", img)
	ctx := imagetest.Context(t)
	if _, err := f.Client.Fetch(ctx, ref, containerd.WithResolver(plainResolver(f.Registry.Host))); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "the image is known", func() bool { _, err := f.Resolve(t.Context(), ref); return err == nil })
	view := f.use(t, ref, "")
	lookWritable(t, view, true)
	view.Release()
	testnode.Eventually(t, "it is CRI's too", func() bool {
		record, err := f.Client.ImageService().Get(ctx, ref)
		id, iderr := f.Client.ImageService().Get(ctx, imagetest.ID(t, img))
		return err == nil && iderr == nil && record.Labels["io.cri-containerd.image"] == "managed" && id.Target.Digest == record.Target.Digest
	})
	for _, name := range []string{ref, imagetest.ID(t, img)} {
		if err := f.Client.ImageService().Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	testnode.Eventually(t, "it is gone", func() bool { return f.empty(t) })
	if list, err := f.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestForeignImageAtStart was brought while no daemon ran.
func TestForeignImageAtStart(t *testing.T) {
	f := newFixture(t)
	img := twoLayers(t)
	ref := f.Registry.Push(t, "two:1", img)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Client.Fetch(imagetest.Context(t), ref, containerd.WithResolver(plainResolver(f.Registry.Host))); err != nil {
		t.Fatal(err)
	}
	f.open(t)
	f.use(t, imagetest.ID(t, img), "").Release()
}

// TestUseRacesRemove has containers start while the image is removed and pulled again.
func TestUseRacesRemove(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	id := f.pull(t, ref)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var used atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				view, err := f.Use(t.Context(), id, "")
				if errdefs.IsNotFound(err) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := view.ReadFile("/etc/passwd"); err != nil {
					t.Error(err)
				}
				mountBriefly(t, view)
				used.Add(1)
				view.Release()
			}
		})
	}
	for range 10 {
		if err := f.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
		f.pull(t, ref)
	}
	// At the latest while nobody removes it.
	testnode.Eventually(t, "the image is used", func() bool { return used.Load() > 0 || t.Failed() })
	close(stop)
	wg.Wait()
	if err := f.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	testnode.Eventually(t, "all is gone", func() bool { return f.empty(t) })
}

func mountBriefly(t *testing.T, view image.View) {
	mounts, err := view.Mounts("", "")
	if err != nil {
		t.Error(err)
		return
	}
	fd, err := rootfs.Open(mounts, nil, nil)
	if err != nil {
		t.Error(err)
		return
	}
	unix.Close(fd)
}

func TestUseErrors(t *testing.T) {
	f := newFixture(t)
	id := f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	for _, c := range []struct {
		ref, snapshotter string
		ok               func(error) bool
	}{
		{"", "", errdefs.IsInvalidArgument},
		{"A B", "", errdefs.IsInvalidArgument},
		{"none", "", errdefs.IsNotFound},
		{id, "none", errdefs.IsNotFound},
		{id[:len("sha256:")+3], "", errdefs.IsNotFound}, // too short for an id,
	} {
		if _, err := f.Use(t.Context(), c.ref, c.snapshotter); !c.ok(err) {
			t.Errorf("use %q: %v", c.ref, err)
		}
	}
}

// TestLeavesNothing compares the node's mounts and descriptors.
func TestLeavesNothing(t *testing.T) {
	f := newFixture(t)
	id := f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	use := func() {
		view := f.use(t, id, "")
		defer view.Release()
		if _, err := view.ReadFile("/etc/none"); err == nil {
			t.Error("found")
		}
		if err := view.CopyDirectory("/dir", t.TempDir()); err != nil {
			t.Error(err)
		}
		_, _ = view.ReadFile("/dir")
	}
	use()
	before, err := testnode.Take(testnode.Options{Dirs: []string{f.Dir}, Daemon: os.Getpid})
	if err != nil {
		t.Fatal(err)
	}
	use()
	leaks, err := testnode.WaitClean(before)
	if err != nil || len(leaks) > 0 {
		t.Errorf("%v\n%s", err, testnode.List(leaks))
	}
}
