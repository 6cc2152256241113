// SPDX-License-Identifier: Apache-2.0

package nsstore_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/nsstore"
	"github.com/sardine-run/sardine/internal/testnode"
)

func open(t *testing.T, dir string) *nsstore.Store {
	t.Helper()
	s, err := nsstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mounts counts the entries of the host's mount table that name a directory of this test; other packages' tests mount things
// meanwhile.
func mounts(t *testing.T) (ours int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "/"+t.Name()) {
			ours++
		}
	}
	return ours
}

var everything = nsstore.Request{
	New:      unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	Hostname: "pod-a", Domainname: "example",
	Sysctls: map[string]string{"net.core.somaxconn": "77", "kernel.shm_rmid_forced": "1"},
	SHM:     nsstore.SHM{Size: 1 << 20},
}

func TestSet(t *testing.T) {
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	s := open(t, dir)
	set, err := s.Make("a", &everything)
	if err != nil {
		t.Fatal(err)
	}
	checkInside(t, set)
	grown := mounts(t)
	if _, err := s.Make("b", &everything); err != nil {
		t.Fatal(err)
	}
	if more := mounts(t); grown != 2 || more != 2 {
		t.Errorf("the host's mount table grew by %d, then %d lines, want 2", grown, more)
	}
	for _, key := range []string{"a", "b"} {
		if err := s.Remove(key); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := mounts(t); left != 0 {
		t.Errorf("%d mounts are left on the host", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// TestShared is the case of a host whose mounts are shared, as systemd makes them: the pin cannot be passed on.
func TestShared(t *testing.T) {
	testnode.NeedRoot(t)
	dir := t.TempDir()
	if err := kernel.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := kernel.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "ns"))
	set, err := s.Make("a", &everything)
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	if err := s.Remove("a"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func checkInside(t *testing.T, set *nsstore.Set) {
	t.Helper()
	kernel.OnThread(func() {
		for flag, path := range map[int]string{
			unix.CLONE_NEWNET: set.Path(unix.CLONE_NEWNET), unix.CLONE_NEWUTS: set.Path(unix.CLONE_NEWUTS), unix.CLONE_NEWIPC: set.Path(unix.CLONE_NEWIPC),
		} {
			f, err := os.Open(path)
			if err == nil {
				err = kernel.Setns(int(f.Fd()), flag, path)
				f.Close()
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
		var uts unix.Utsname
		if err := unix.Uname(&uts); err != nil || unix.ByteSliceToString(uts.Nodename[:]) != "pod-a" || unix.ByteSliceToString(uts.Domainname[:]) != "example" {
			t.Errorf("names %q %q, %v", uts.Nodename, uts.Domainname, err)
		}
		for file, want := range map[string]string{"net/core/somaxconn": "77", "kernel/shm_rmid_forced": "1"} {
			got, err := os.ReadFile("/proc/sys/" + file)
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s is %q, %v; want %s", file, got, err, want)
			}
		}
	})
}

// TestLater opens what an earlier Store, which was not closed, has left.
func TestLater(t *testing.T) {
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	first := open(t, dir)
	set, err := first.Make("a", &everything)
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	later := open(t, dir)
	keys, err := later.List()
	if err != nil || len(keys) != 1 || keys[0] != "a" {
		t.Errorf("keys %q, %v", keys, err)
	}
	sets, err := later.Load([]string{"b", "a", "c"})
	if err != nil || len(sets) != 1 {
		t.Fatalf("%d sets, %v", len(sets), err)
	}
	again := sets["a"]
	checkInside(t, again)
	if again.Path(unix.CLONE_NEWUSER) != "" {
		t.Error("a user namespace from nowhere")
	}
	shm, err := again.SHM()
	if err != nil {
		t.Fatal(err)
	}
	shm.Close()
	again.Close()
	if err := later.Remove("a"); err != nil {
		t.Error(err)
	}
	if err := later.Close(); err != nil {
		t.Error(err)
	}
}

func TestSHMIsShared(t *testing.T) {
	testnode.NeedRoot(t)
	s := open(t, filepath.Join(t.TempDir(), "ns"))
	defer s.Close()
	set, err := s.Make("a", &everything)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Remove("a")
	defer set.Close()
	one, err := set.SHM()
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := set.SHM()
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	fd, err := unix.Openat(int(one.Fd()), "x", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(fd), "x")
	defer w.Close()
	if n, err := io.Copy(w, io.LimitReader(zeros{}, 2<<20)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("wrote %d bytes, %v; want no space after 1 MiB", n, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(two.Fd()), "x", &st, 0); err != nil || st.Size == 0 {
		t.Errorf("the other copy has %d bytes, %v", st.Size, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestMakeRefused(t *testing.T) {
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	s := open(t, dir)
	for _, key := range []string{"", ".", "..", "a/b", "/a", strings.Repeat("a", 300)} {
		if _, err := s.Make(key, &everything); err == nil {
			t.Errorf("key %q was taken", key)
		}
	}
	for _, sysctl := range []string{"net..core", "../../etc/passwd", "net.core.no_such"} {
		bad := everything
		bad.Sysctls = map[string]string{sysctl: "1"}
		if _, err := s.Make("a", &bad); err == nil {
			t.Errorf("sysctl %q was taken", sysctl)
		}
	}
	if keys, err := s.List(); err != nil || len(keys) != 0 {
		t.Errorf("left %q, %v", keys, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkMake(b *testing.B) {
	s, err := nsstore.Open(filepath.Join(b.TempDir(), "ns"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		set, err := s.Make("a", &everything)
		if err != nil {
			b.Fatal(err)
		}
		set.Close()
		if err := s.Remove("a"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPeek: another process looks at a Store in use.
func TestPeek(t *testing.T) {
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	none, err := nsstore.Peek(dir)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := none.List(); err != nil || len(keys) != 0 {
		t.Errorf("keys %q, %v of nothing", keys, err)
	}
	if err := none.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("made by looking: %v", err)
	}
	s := open(t, dir)
	set, err := s.Make("a", &everything)
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	other, err := nsstore.Peek(dir)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := other.List(); err != nil || len(keys) != 1 || keys[0] != "a" {
		t.Errorf("keys %q, %v", keys, err)
	}
	if err := other.Remove("a"); err != nil {
		t.Error(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Make("b", &everything); err != nil {
		t.Errorf("the owner's is damaged: %v", err)
	}
	if err := s.Remove("b"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestDrop: what is dropped is gone at once, and unpinned by the time of Close, or by the next daemon.
func TestDrop(t *testing.T) {
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	s := open(t, dir)
	if err := s.Drop("none"); err != nil {
		t.Error(err)
	}
	for i := range 20 {
		key := string(rune('a' + i))
		set, err := s.Make(key, &everything)
		if err != nil {
			t.Fatal(err)
		}
		set.Close()
		if err := errors.Join(s.Drop(key), s.Drop(key)); err != nil {
			t.Error(err)
		}
		if keys, err := s.List(); err != nil || len(keys) != 0 {
			t.Errorf("keys %q, %v", keys, err)
		}
		if sets, err := s.Load([]string{key}); err != nil || len(sets) != 0 {
			t.Errorf("%d sets, %v", len(sets), err)
		}
	}
	for _, key := range []string{"", "..", "a/b"} {
		if err := s.Drop(key); err == nil {
			t.Errorf("key %q was taken", key)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := mounts(t); left != 0 {
		t.Errorf("%d mounts are left on the host", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// TestSweep: a daemon was killed before it had unpinned what it dropped.
func TestSweep(t *testing.T) {
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	first := open(t, dir)
	for _, key := range []string{"kept", ".dropped-a"} {
		set, err := first.Make(key, &everything)
		if err != nil {
			t.Fatal(err)
		}
		set.Close()
	}
	s := open(t, dir)
	if keys, err := s.List(); err != nil || len(keys) != 1 || keys[0] != "kept" {
		t.Errorf("keys %q, %v", keys, err)
	}
	if err := s.Sweep(); err != nil {
		t.Error(err)
	}
	if err := s.Drop("kept"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil { // it removes what is empty only
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}
