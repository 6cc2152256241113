// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

func fact(n int, chain string) facts {
	return facts{id: digest.FromString(fmt.Sprint("image", n)), chain: digest.FromString(chain)}
}

func TestIndexMoves(t *testing.T) {
	x := newIndex()
	one, two := fact(1, "a"), fact(2, "b")
	x.set("r/x:1", "sha256:t1", false, []facts{one})
	x.set("r/y:1", "sha256:t1", true, []facts{one})
	img := x.byName("r/x:1", "")
	if img == nil || len(img.Tags) != 2 || !img.Pinned {
		t.Fatalf("%+v", img)
	}
	if orphans := x.set("r/x:1", "sha256:t2", false, []facts{two}); len(orphans) != 0 {
		t.Errorf("orphans %v while a name is left", orphans)
	}
	if len(img.Tags) != 2 {
		t.Error("an image that a caller holds was changed")
	}
	if orphans := x.drop("r/y:1"); len(orphans) != 1 || orphans[0] != one.chain {
		t.Errorf("orphans %v", orphans)
	}
	if _, ok := x.known("sha256:t1"); ok {
		t.Error("facts of a target without names are kept")
	}
	if got := x.list(); len(got) != 1 || got[0].ID != two.id.String() || x.hasLayers(one.chain) || !x.hasLayers(two.chain) {
		t.Errorf("%v", got)
	}
	if orphans := x.drop("none"); orphans != nil {
		t.Errorf("%v", orphans)
	}
}

func TestIndexSharedLayers(t *testing.T) {
	x := newIndex()
	x.set("r/x:1", "sha256:t1", false, []facts{fact(1, "a")})
	x.set("r/x:2", "sha256:t2", false, []facts{fact(2, "a")})
	if orphans := x.drop("r/x:1"); len(orphans) != 0 {
		t.Errorf("layers that another image has are orphans: %v", orphans)
	}
	if orphans := x.drop("r/x:2"); len(orphans) != 1 {
		t.Errorf("%v", orphans)
	}
}

func TestIndexPrefix(t *testing.T) {
	x := newIndex()
	a := facts{id: digest.Digest("sha256:abcdef0" + strings.Repeat("0", 57))}
	b := facts{id: digest.Digest("sha256:abcdef1" + strings.Repeat("0", 57))}
	x.set("a:1", "sha256:t1", false, []facts{a})
	x.set("b:1", "sha256:t2", false, []facts{b})
	if _, err := x.byID("sha256:abcdef"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an ambiguous prefix: %v", err)
	}
	if img, err := x.byID("sha256:abcdef1"); err != nil || img.ID != b.id.String() {
		t.Errorf("%v, %v", img, err)
	}
	if img, err := x.byID("sha256:ffffff"); err != nil || img != nil {
		t.Errorf("%v, %v", img, err)
	}
}

func TestKeylock(t *testing.T) {
	k := newKeylock()
	if err := k.Lock(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := k.Lock(ctx, "a"); err == nil {
		t.Error("locked twice")
	}
	if err := k.Lock(t.Context(), "b"); err != nil {
		t.Error("another key waits")
	}
	k.Unlock("a")
	k.Unlock("b")
	var wg sync.WaitGroup
	n := 0
	for range 50 {
		wg.Go(func() {
			if err := k.Lock(t.Context(), "n"); err != nil {
				t.Error(err)
			}
			n++
			k.Unlock("n")
		})
	}
	wg.Wait()
	if n != 50 || len(k.locks) != 0 {
		t.Errorf("%d, %d locks are left", n, len(k.locks))
	}
}

// BenchmarkResolve is of a node with thousands of images; the kubelet asks for each container.
func BenchmarkResolve(b *testing.B) {
	x := newIndex()
	for n := range 5000 {
		x.set(fmt.Sprintf("docker.io/library/x:%d", n), digest.Digest(fmt.Sprint("sha256:", n)), false, []facts{fact(n, fmt.Sprint(n))})
	}
	i := &Images{index: x}
	b.Run("name", func(b *testing.B) {
		for b.Loop() {
			if img, err := i.find("x:4000", ""); img == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			x.list()
		}
	})
}
