// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// newRoot is a directory with the given files, each modified age ago.
func newRoot(t testing.TB, files map[string]time.Duration) place {
	t.Helper()
	p := place{id: t.Name(), root: t.TempDir(), volumes: map[string]string{"data": t.TempDir()}}
	for name, age := range files {
		touch(t, filepath.Join(p.root, name), age)
	}
	return p
}

func touch(t testing.TB, path string, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-age)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	p := newRoot(t, map[string]time.Duration{"tmp/ok": 3 * time.Minute, "old": time.Hour, "later": -time.Hour})
	nothingLeft(t)
	for args, result := range map[string]struct {
		code int
		text string
	}{
		"/tmp/ok --validity 30m":                          {Success, "file /tmp/ok: modified 3m"},
		"/tmp/ok --validity 2m":                           {Failure, "file /tmp/ok: modified 3m"},
		"/old --validity 59m":                             {Failure, " ago, valid for 59m0s"},
		"/old --validity 2540400h":                        {Success, "modified 1h0m"},
		"/later --validity 1s":                            {Failure, " in the future: who sets that time"},
		"/none --validity 1s":                             {Failure, "file /none: does not exist"},
		"/tmp/ok/x --validity 1s":                         {Failure, "a part of the path is not a directory"},
		"/tmp/../tmp/./ok --validity 30m":                 {Success, "modified 3m"},
		"/../../../tmp/ok --validity 30m":                 {Success, "modified 3m"}, // .. of the root is the root
		"volume:data/none --validity 1s":                  {Failure, "file volume:data/none: does not exist"},
		"volume:other/x --validity 1s":                    {Failure, "there is no such volume"},
		"/" + strings.Repeat("x", 300) + " --validity 1s": {Failure, "a name in the path is too long"},
	} {
		want(t, p, "file "+args, result.code, result.text)
	}
}

// TestFileKinds: only regular files are looked at, however they come; nothing is opened, so that nothing blocks or begins.
func TestFileKinds(t *testing.T) {
	testnode.NeedRoot(t)
	p := newRoot(t, nil)
	nothingLeft(t)
	at := func(name string) string { return filepath.Join(p.root, name) }
	if err := unix.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(10, 130))); err != nil { // the watchdog, which resets the machine when it was opened
		t.Fatal(err)
	}
	if err := unix.Mknod(at("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 250))); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Mkdir(at("directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{"fifo": "a FIFO", "device": "a device", "block": "a device", "socket": "a socket", "directory": "a directory"} {
		want(t, p, "file /"+name+" --validity 1h", Failure, "file /"+name+": is "+kind)
		link(t, name, at("to-"+name))
		want(t, p, "file /to-"+name+" --validity 1h", Failure, "is "+kind)
	}
	huge, err := os.Create(at("huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	if err := huge.Truncate(1 << 42); err != nil {
		t.Fatal(err)
	}
	want(t, p, "file /huge --validity 1h", Success, "modified")
	if err := os.WriteFile(at("secret"), nil, 0); err != nil {
		t.Fatal(err)
	}
	want(t, p, "file /secret --validity 1h", Success, "modified")
}

// TestFileLinks: the root of the container is all there is, however its links are made.
func TestFileLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	touch(t, outside, 0)
	p := newRoot(t, map[string]time.Duration{"in": 0})
	nothingLeft(t)
	for name, to := range map[string]string{
		"absolute-in": "/in", "relative-in": "in", "twice": "absolute-in", "up-in": "../../../in", "absolute-out": outside,
		"relative-out": "../" + filepath.Base(filepath.Dir(outside)) + "/outside", "loop": "loop", "dir": "/",
	} {
		link(t, to, filepath.Join(p.root, name))
	}
	for name, text := range map[string]string{"absolute-in": "", "relative-in": "", "twice": "", "up-in": "", "dir/dir/dir/in": ""} {
		want(t, p, "file /"+name+" --validity 1h", Success, text)
	}
	for name, text := range map[string]string{"absolute-out": "does not exist", "relative-out": "does not exist", "loop": "too many symbolic links"} {
		want(t, p, "file /"+name+" --validity 1h", Failure, text)
	}
	data := p.volumes["data"]
	touch(t, filepath.Join(data, "..data/in"), 0)
	for name, to := range map[string]string{"in": "..data/in", "absolute": filepath.Join(data, "..data/in"), "up": "../outside", "out": outside} {
		link(t, to, filepath.Join(data, name))
	}
	want(t, p, "file volume:data/in --validity 1h", Success, "file volume:data/in: modified")
	want(t, p, "file volume:data//in --validity 1h", Success, "")
	for _, name := range []string{"absolute", "up", "out", "../../etc/passwd", ".."} {
		want(t, p, "file volume:data/"+name+" --validity 1h", Failure, "leads out of the volume")
	}
}

// TestFileMagicLinks: those of procfs lead to the roots and files of processes.
func TestFileMagicLinks(t *testing.T) {
	testnode.NeedRoot(t)
	p := newRoot(t, nil)
	proc := filepath.Join(p.root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", proc, "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(proc, 0); err != nil {
			t.Error(err)
		}
	}()
	nothingLeft(t)
	own := fmt.Sprintf("proc/%d/root", os.Getpid())
	link(t, "/"+own, filepath.Join(p.root, "root"))
	link(t, "/proc/self/fd/0", filepath.Join(p.root, "input"))
	for _, name := range []string{own + "/etc/passwd", "proc/self/root/etc/passwd", "root/etc/passwd", "proc/self/cwd/file.go", "input", "proc/self/exe"} {
		want(t, p, "file /"+name+" --validity 100000h", Failure, "too many symbolic links, or one of those in /proc")
	}
}

// TestFileNames: what is told of a name has no control characters and is not long.
func TestFileNames(t *testing.T) {
	p := newRoot(t, map[string]time.Duration{"a\nb\x1b[31m": 0, "\xff": 0})
	for name, text := range map[string]string{"/a\nb\x1b[31m": `file /a\nb\x1b[31m: modified`, "/\xff": `file /\xff: modified`} {
		code, output := askWith(t, t.Context(), &Prober{}, p, "file", name, "--validity", "1h")
		if code != Success || !strings.HasPrefix(output, text) {
			t.Errorf("%q: exit code %d, %q", name, code, output)
		}
	}
	code, output := askWith(t, t.Context(), &Prober{}, p, "file", strings.Repeat("/\n", 2000), "--validity", "1h")
	if code != Failure || len(output) > 2*maxPart {
		t.Errorf("exit code %d, %q", code, output)
	}
}

// TestFileRootIsGone: neither a root that was removed nor one that cannot be opened is taken for another.
func TestFileRootIsGone(t *testing.T) {
	p := newRoot(t, map[string]time.Duration{"in": 0})
	gone := removedRoot{p, t}
	want(t, gone, "file /in --validity 1h", Failure, "does not exist")
	if err := os.RemoveAll(p.root); err != nil {
		t.Fatal(err)
	}
	want(t, p, "file /in --validity 1h", Failure, "does not exist")
}

// removedRoot is removed between being opened and being looked into.
type removedRoot struct {
	place
	t testing.TB
}

func (r removedRoot) Root() (*os.File, error) {
	f, err := r.place.Root()
	if err := os.Remove(filepath.Join(r.root, "in")); err != nil {
		r.t.Error(err)
	}
	if err := os.Remove(r.root); err != nil {
		r.t.Error(err)
	}
	if err := os.Mkdir(r.root, 0o755); err != nil {
		r.t.Error(err)
	}
	touch(r.t, filepath.Join(r.root, "in"), 0)
	return f, err
}

func TestFileTimes(t *testing.T) {
	now := time.Now()
	f := file{path: "/x", validity: time.Second}
	for age, want := range map[time.Duration]struct {
		ok    bool
		found string
	}{
		0:                       {true, "modified 0s ago, valid for 1s"},
		time.Second:             {true, "modified 1s ago, valid for 1s"},
		time.Second + 1:         {false, "modified 1s ago, valid for 1s"},
		3 * time.Second:         {false, "modified 3s ago, valid for 1s"},
		3456 * time.Millisecond: {false, "modified 3.5s ago, valid for 1s"},
		time.Hour:               {false, "modified 1h0m0s ago, valid for 1s"},
		-3 * time.Second:        {true, "modified 3s in the future, valid for 1s"},
		-skew:                   {true, "modified 5s in the future, valid for 1s"},
		-time.Hour:              {false, "modified 1h0m0s in the future: who sets that time, or whose clock is it?"},
	} {
		stat := unix.Stat_t{Mode: unix.S_IFREG, Mtim: unix.NsecToTimespec(now.Add(-age).UnixNano())}
		if ok, found := f.judge(&stat, now); ok != want.ok || found != want.found {
			t.Errorf("%v old: %t, %q; want %t, %q", age, ok, found, want.ok, want.found)
		}
	}
	for _, seconds := range []int64{-1 << 63, -1 << 40, 0, 1 << 40, 1<<63 - 1} {
		stat := unix.Stat_t{Mode: unix.S_IFREG, Mtim: unix.Timespec{Sec: seconds}}
		if ok, found := f.judge(&stat, now); ok {
			t.Errorf("%d s after the epoch: %s", seconds, found)
		}
	}
}
