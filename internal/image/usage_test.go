// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/image/imagetest"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestUsage(t *testing.T) {
	f := newFixture(t)
	layers := t.TempDir()
	f.deps.Layers = []string{layers, filepath.Join(layers, "none")}
	f.restart(t)
	started := time.Now()
	empty := f.used(t, func(u image.Usage) bool { return u.Containers[0].Time.After(started) })
	if len(empty.Images) != 1 || empty.Images[0].Dir != f.Root("overlayfs") {
		t.Fatalf("%+v", empty)
	}
	f.pull(t, f.Registry.Push(t, "big:1", imagetest.Image(t, v1.Config{},
		imagetest.Layer(t, imagetest.File{Name: "big", Data: strings.Repeat("sardine", 1<<17)}))))
	fill(t, layers)
	filled := time.Now()
	used := f.used(t, func(u image.Usage) bool { return u.Containers[0].Time.After(filled) })
	if more := used.Images[0].Bytes - empty.Images[0].Bytes; more < 7<<17 || more > 8<<17 {
		t.Errorf("an image of %d bytes takes %d", 7<<17, more)
	}
	if more := used.Containers[0].Bytes - empty.Containers[0].Bytes; more < 64<<10 || more > 96<<10 {
		t.Errorf("files of 64 KiB take %d", more)
	}
	if more := used.Containers[0].Inodes - empty.Containers[0].Inodes; more != 3 {
		t.Errorf("%d inodes, want a directory, a file and a link", more)
	}
}

// used asks until the answer is what the test waits for.
func (f *fixture) used(t *testing.T, enough func(image.Usage) bool) (u image.Usage) {
	t.Helper()
	testnode.Eventually(t, "the disk use of images and containers", func() bool {
		var err error
		if u, err = f.Usage(t.Context()); err != nil {
			t.Fatal(err)
		}
		return enough(u)
	})
	return u
}

// TestUsageDuringWalk is of images as they are now: a kubelet drops what is no newer than what it has seen.
func TestUsageDuringWalk(t *testing.T) {
	f := newFixture(t)
	f.deps.Layers = []string{t.TempDir()}
	f.restart(t)
	walking, end := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(walking) })
	f.BeforeWalk(func() { begun(); <-end })
	release := sync.OnceFunc(func() { close(end) })
	defer release() // Close, which comes later, waits for the walk
	started := time.Now()
	first := f.used(t, func(image.Usage) bool { return true })
	<-walking
	f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	second := f.used(t, func(image.Usage) bool { return true })
	if !second.Images[0].Time.After(first.Images[0].Time) || second.Images[0].Inodes <= first.Images[0].Inodes ||
		len(second.Containers) != 1 || second.Containers[0].Time.After(started) {
		t.Errorf("%+v, then %+v", first, second)
	}
	release()
	f.used(t, func(u image.Usage) bool { return u.Containers[0].Time.After(started) })
}

// TestUsageOfActiveSnapshots is found by walking them, and is part of what images take.
func TestUsageOfActiveSnapshots(t *testing.T) {
	f := newFixture(t)
	kept := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": ""})
	mounts, err := f.Client.SnapshotService("overlayfs").Prepare(imagetest.Context(t), "someone", "", kept)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(mounts[0].Source, "file"), strings.Repeat("x", 64<<10))
	f.used(t, func(u image.Usage) bool { return u.Images[0].Bytes >= 64<<10 })
}

// fill makes a file with two names and a link that leads to a big directory.
func fill(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "a/file"), strings.Repeat("x", 64<<10))
	if err := os.Link(filepath.Join(dir, "a/file"), filepath.Join(dir, "same")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
}

// TestUsageIsRemembered for the period of the configuration.
func TestUsageIsRemembered(t *testing.T) {
	f := newFixture(t, func(c *image.Config) { c.StatsCollectPeriod = 3600 })
	first, err := f.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.pull(t, f.Registry.Push(t, "two:1", twoLayers(t)))
	second, err := f.Usage(t.Context())
	if err != nil || second.Images[0].Time != first.Images[0].Time || time.Since(second.Images[0].Time) > time.Minute {
		t.Errorf("%+v, then %+v, %v", first, second, err)
	}
}

// BenchmarkContainer is what images cost a container's life.
func BenchmarkContainer(b *testing.B) {
	f := newFixture(b)
	id := f.pull(b, f.Registry.Push(b, "many:1", manyLayers(b, "x", 10)))
	b.ReportAllocs()
	for b.Loop() {
		view, err := f.Use(b.Context(), id, "")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := view.Mounts("/upper", "/work"); err != nil {
			b.Fatal(err)
		}
		if _, err := view.ReadFile("/etc/passwd"); err == nil {
			b.Fatal("found")
		}
		view.Release()
	}
}

// BenchmarkRestart reads a node with a hundred images.
func BenchmarkRestart(b *testing.B) {
	f := newFixture(b)
	const n = 100
	for i := range n {
		f.pull(b, f.Registry.Push(b, "x:"+string(rune('a'+i/26))+string(rune('a'+i%26)), imagetest.Image(b, v1.Config{User: string(rune('a' + i))},
			imagetest.Layer(b, imagetest.File{Name: "common"}))))
	}
	for b.Loop() {
		f.restart(b)
		if list, err := f.List(b.Context()); err != nil || len(list) != n {
			b.Fatal(len(list), err)
		}
	}
}
