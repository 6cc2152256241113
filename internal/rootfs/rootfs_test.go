// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
}

// layers makes n directories with a file each, named after its number, and returns
// the overlay of them with a writable layer.
func layers(t testing.TB, n int) Mount {
	t.Helper()
	dir := t.TempDir()
	var lower []string
	for i := range n {
		l := filepath.Join(dir, fmt.Sprint("layer", i))
		if err := os.Mkdir(l, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(l, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		lower = append(lower, l)
	}
	for _, d := range []string{"u", "w"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Mount{Type: "overlay", Source: "overlay", Options: []string{
		"index=off", "workdir=" + dir + "/w", "upperdir=" + dir + "/u", "lowerdir=" + strings.Join(lower, ":"),
	}}
}

// entries counts what is in the root of a detached tree.
func entries(t testing.TB, tree int) int {
	t.Helper()
	fd, err := unix.Openat(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "tree")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// checkMounts fails when the host's mount table names a directory of this test.
func checkMounts(t testing.TB) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "/"+t.Name()) {
			t.Errorf("in the host's mount table: %s", line)
		}
	}
}

func TestOverlayOfManyLayers(t *testing.T) {
	needRoot(t)
	for _, n := range []int{1, 2, 128} {
		tree, err := Open([]Mount{layers(t, n)}, nil, nil)
		if err != nil {
			t.Fatalf("%d layers: %v", n, err)
		}
		if got := entries(t, tree); got != n {
			t.Errorf("%d layers show %d files", n, got)
		}
		checkMounts(t)
		unix.Close(tree)
	}
}

// Kernels before 6.7 take this way.
func TestOverlayWithoutLayerOption(t *testing.T) {
	needRoot(t)
	for _, n := range []int{1, 128} {
		m := layers(t, n)
		tree, err := inNamespace(func() (int, error) { return overlayByMount(m) })
		if err != nil {
			t.Fatalf("%d layers: %v", n, err)
		}
		if got := entries(t, tree); got != n {
			t.Errorf("%d layers show %d files", n, got)
		}
		checkMounts(t)
		unix.Close(tree)
	}
}

// What separates layers and options is escaped in every directory, on both ways.
func TestAwkwardDirectories(t *testing.T) {
	needRoot(t)
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace
	dir := t.TempDir()
	options := make([]string, 0, 3)
	for key, name := range map[string]string{"lowerdir": `a:b,c\d`, "upperdir": `u:,\`, "workdir": `w,:\\x`} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, `a:b,c\d`, "file"), nil, 0o644); key == "lowerdir" && err != nil {
			t.Fatal(err)
		}
		options = append(options, key+"="+escape(path))
	}
	m := Mount{Type: "overlay", Source: "overlay", Options: options}
	for name, open := range map[string]func() (int, error){
		"by layer": func() (int, error) { return overlayByLayer(m) },
		"by mount": func() (int, error) { return inNamespace(func() (int, error) { return overlayByMount(m) }) },
	} {
		tree, err := open()
		if errors.Is(err, errNotByLayer) { // before Linux 6.7, where the other way is taken
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := entries(t, tree); n != 1 {
			t.Errorf("%s: %d files", name, n)
		}
		unix.Close(tree)
	}
}

func TestBind(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	tree, err := Open([]Mount{{Type: "bind", Source: dir, Options: []string{"rbind", "ro"}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	if err := unix.Mkdirat(tree, "x", 0o755); !errors.Is(err, unix.EROFS) {
		t.Errorf("mkdir on a read-only bind: %v", err)
	}
}

func TestStackedMounts(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	tree, err := Open([]Mount{
		{Type: "bind", Source: "/", Options: []string{"rbind"}},
		{Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}},
		{Type: "bind", Source: dir, Options: []string{"bind", "ro"}},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	if err := unix.Mkdirat(tree, "x", 0o755); !errors.Is(err, unix.EROFS) {
		t.Errorf("mkdir on a read-only bind: %v", err)
	}
}

func TestErrorsNameTheMount(t *testing.T) {
	needRoot(t)
	for want, mounts := range map[string][]Mount{
		"no mounts given":    nil,
		"open_tree /missing": {{Type: "bind", Source: "/missing"}},
		"fsopen nofs":        {{Type: "nofs"}},
		"/missing-layer":     {{Type: "overlay", Options: []string{"lowerdir=/missing-layer:/tmp"}}},
	} {
		tree, err := Open(mounts, nil, nil)
		if err == nil {
			unix.Close(tree)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// mapped returns a user namespace that shifts ids by 100000.
func mapped(t *testing.T) UserNamespace {
	t.Helper()
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
	pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "100"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids},
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	syscall.Kill(pid, syscall.SIGKILL)
	syscall.Wait4(pid, nil, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func(Mapping) (int, error) { return int(f.Fd()), nil }
}

func TestIdmappedOverlay(t *testing.T) {
	needRoot(t)
	m := layers(t, 3)
	tree, err := Open([]Mount{m}, &Mapping{}, mapped(t))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	var st unix.Stat_t
	if err := unix.Fstatat(tree, "0", &st, 0); err != nil {
		t.Fatal(err)
	}
	if st.Uid != 100000 || st.Gid != 100000 {
		t.Errorf("a file of root shows owner %d:%d", st.Uid, st.Gid)
	}
	if got := entries(t, tree); got != 3 {
		t.Errorf("%d files, want 3", got)
	}
}

func TestSplitLayers(t *testing.T) {
	for in, want := range map[string][]string{
		"/a":          {"/a"},
		"/a:/b":       {"/a", "/b"},
		`/a\:b:/c\\d`: {"/a:b", `/c\d`},
	} {
		if got := splitLayers(in); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func FuzzSplitLayers(f *testing.F) {
	f.Add(`/a\:b:/c`)
	f.Fuzz(func(t *testing.T, s string) {
		layers := splitLayers(s)
		if again := splitLayers(joinLayers(layers)); !reflect.DeepEqual(layers, again) {
			t.Errorf("%q became %q", layers, again)
		}
	})
}

func TestRelative(t *testing.T) {
	for _, c := range []struct {
		paths []string
		base  string
		rest  []string
	}{
		{[]string{"/s/1/fs", "/s/2/fs"}, "/s/", []string{"1/fs", "2/fs"}},
		{[]string{"/a/b"}, "/a/", []string{"b"}},
		{[]string{"/a", "/b/c"}, "/", []string{"a", "b/c"}},
		{[]string{"/s/1", "/s/10"}, "/s/", []string{"1", "10"}},
	} {
		base, rest := relative(c.paths)
		if base != c.base || !reflect.DeepEqual(rest, c.rest) {
			t.Errorf("%q: got %s %q", c.paths, base, rest)
		}
	}
}
