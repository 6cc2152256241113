// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree makes directories with files, a hard link, and a symbolic link to elsewhere, and returns its sum.
func tree(t *testing.T, width, depth int) (string, sum) {
	t.Helper()
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, "big"), 1<<20)
	top := filepath.Join(t.TempDir(), "top")
	dir := top
	for range depth {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range width {
			write(t, filepath.Join(dir, fmt.Sprintf("file%d", i)), i*1000)
			if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("empty%d", i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		dir = filepath.Join(dir, "next")
	}
	for oldname, newname := range map[string]string{"file9": "hard", "empty1": "soft"} {
		call := os.Link
		if newname == "soft" {
			call, oldname = os.Symlink, elsewhere
		} else {
			oldname = filepath.Join(top, oldname)
		}
		if err := call(oldname, filepath.Join(top, newname)); err != nil {
			t.Fatal(err)
		}
	}
	return top, expected(t, top)
}

func expected(t *testing.T, top string) (s sum) {
	t.Helper()
	seen := map[uint64]bool{}
	err := filepath.Walk(top, func(path string, _ os.FileInfo, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if !seen[st.Ino] {
			s.inodes++
			s.bytes += uint64(st.Blocks) * 512
		}
		seen[st.Ino] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWalk(t *testing.T) {
	top, want := tree(t, 300, 5)
	w := newWalk(top)
	if !w.run(time.Now().Add(time.Minute)) || w.sum != want {
		t.Errorf("%+v, want %+v", w.sum, want)
	}
}

// A walk that is interrupted after each step finds the same.
func TestWalkInPieces(t *testing.T) {
	top, want := tree(t, 300, 5)
	w := newWalk(top)
	steps := 0
	for ; len(w.path) > 0 && steps < 100000; steps++ {
		w.reopen()
		w.step()
		w.interrupt()
		for _, l := range w.path {
			if l.fd != -1 {
				t.Fatal("a descriptor is kept")
			}
		}
	}
	if w.sum != want || steps < 100 {
		t.Errorf("%+v in %d steps, want %+v", w.sum, steps, want)
	}
}

func TestWalkOfWhatIsRemovedMeanwhile(t *testing.T) {
	top, _ := tree(t, 300, 5)
	w := newWalk(top)
	for range 50 {
		w.reopen()
		w.step()
		w.interrupt()
	}
	if err := os.RemoveAll(top); err != nil {
		t.Fatal(err)
	}
	if !w.run(time.Now().Add(time.Minute)) {
		t.Error("it does not end")
	}
}

// A container that replaces a directory by a link while the walk rests does not lead it outside.
func TestWalkStaysInside(t *testing.T) {
	top, elsewhere := t.TempDir(), t.TempDir()
	for _, dir := range []string{top + "/a/b", elsewhere + "/b"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, elsewhere+"/b/big", 10<<20)
	w := newWalk(top)
	for len(w.path) > 0 && w.path[len(w.path)-1].name != "b" {
		w.reopen()
		w.step()
		w.interrupt()
	}
	if err := os.Rename(top+"/a", top+"/was"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, top+"/a"); err != nil {
		t.Fatal(err)
	}
	if !w.run(time.Now().Add(time.Minute)) || w.bytes > 1<<20 {
		t.Errorf("%+v", w.sum)
	}
}

func TestWalkOfADeepTree(t *testing.T) {
	top := t.TempDir()
	fd, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // os.RemoveAll cannot: the path is too long
		if err := os.RemoveAll(top); err != nil {
			t.Error(err)
		}
	})
	for range maxDepth + 200 {
		if err := unix.Mkdirat(fd, strings.Repeat("d", 10), 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, strings.Repeat("d", 10), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	unix.Close(fd)
	w := newWalk(top)
	if !w.run(time.Now().Add(time.Minute)) || w.inodes != maxDepth+1 {
		t.Errorf("%d inodes", w.inodes)
	}
}

func TestLayerIsMeasuredAnewWhenOld(t *testing.T) {
	c := newContainer(t, nil, 2)
	start := time.Now()
	later := start.Add(time.Hour)
	l := &c.History.layer
	l.measure(c.Layer, start, later)
	if l.best().inodes != 5 {
		t.Fatalf("%+v", l.best())
	}
	write(t, c.Layer+"/new", 1)
	l.measure(c.Layer, start.Add(layerAge-1), later)
	if l.best().inodes != 5 {
		t.Errorf("measured too soon: %+v", l.best())
	}
	l.measure(c.Layer, start.Add(layerAge), start)
	if l.best().inodes != 5 || l.walk != nil {
		t.Errorf("measured without time: %+v", l.best())
	}
	l.measure(c.Layer, start.Add(layerAge), later)
	if l.best().inodes != 6 || l.walk != nil {
		t.Errorf("not measured: %+v", l.best())
	}
}

func TestRate(t *testing.T) {
	start := time.Unix(1000, 0)
	var r rate
	for i, step := range []struct {
		after time.Duration
		used  uint64
		want  uint64
		known bool
	}{
		{0, 5e9, 0, false},
		{minWindow / 2, 6e9, 0, false},
		{2 * time.Second, 9e9, 2e9, true},
		{2*time.Second + 1, 10e9, 2e9, true}, // too soon
		{12 * time.Second, 9e9, 0, true},
		{22 * time.Second, 1e9, 0, false}, // a new cgroup
		{21 * time.Second, 2e9, 0, false}, // overtaken
		{32 * time.Second, 11e9, 1e9, true},
		{31 * time.Second, 10e9, 1e9, true},             // overtaken, sampled a second before
		{32*time.Second + minWindow/2, 10e9, 1e9, true}, // overtaken between its sample and the look at the clock
		{42 * time.Second, 31e9, 2e9, true},             // which does not change what the next one is compared with
	} {
		got, known := r.next(start.Add(step.after), step.used)
		if got != step.want || known != step.known {
			t.Errorf("%d: %d, %v, want %d, %v", i, got, known, step.want, step.known)
		}
	}
}
