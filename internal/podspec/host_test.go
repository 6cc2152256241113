// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// inMountNamespace runs f in a mount namespace of its own, where mounts reach nobody.
func inMountNamespace(t *testing.T, f func(dir string)) {
	t.Helper()
	testnode.NeedRoot(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			t.Error(err)
			return
		}
		f(dir)
	}()
	<-done
}

func TestPropagationOf(t *testing.T) {
	inMountNamespace(t, func(dir string) {
		mount := func(name string, flags uintptr) string {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Error(err)
			}
			if err := unix.Mount("tmpfs", path, "tmpfs", 0, ""); err != nil {
				t.Error(err)
			}
			if err := unix.Mount("", path, "", flags, ""); err != nil {
				t.Error(err)
			}
			return path
		}
		private, shared := mount("private", unix.MS_PRIVATE), mount("shared", unix.MS_SHARED)
		if err := unix.Mount(shared, private, "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
		}
		if err := unix.Mount("", private, "", unix.MS_SLAVE, ""); err != nil {
			t.Error(err)
		}
		for path, want := range map[string]Propagation{
			dir:                  {Mountpoint: "", Shared: false},
			shared:               {Mountpoint: shared, Shared: true},
			shared + "/x/y":      {Mountpoint: shared, Shared: true},
			shared + "not/below": {Mountpoint: ""},
			private + "/x":       {Mountpoint: private, Slave: true}, // the one on top
		} {
			// The file of the process would be another thread's.
			got, err := propagationOf(path)
			if err != nil {
				t.Error(err)
			}
			if want.Mountpoint == "" {
				want.Mountpoint = got.Mountpoint
				if strings.HasPrefix(got.Mountpoint, dir) {
					t.Errorf("%s is on %s", path, got.Mountpoint)
				}
			}
			if got != want {
				t.Errorf("%s: got %+v, want %+v", path, got, want)
			}
		}
	})
}

func TestReadProfile(t *testing.T) {
	dir := t.TempDir()
	fifo, big, good := filepath.Join(dir, "fifo"), filepath.Join(dir, "big"), filepath.Join(dir, "good")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, size := range map[string]int{big: maxProfile + 1, good: maxProfile} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, ok := range map[string]bool{big: false, dir: false, "/dev/zero": false, fifo: false, good: true, dir + "/none": false} {
		if _, err := readProfile(path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestDevicesAt(t *testing.T) {
	list, err := devicesAt("/dev/null", "/dev/x")
	if err != nil || len(list) != 1 || list[0].Path != "/dev/x" || list[0].Major != 1 || list[0].Minor != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := devicesAt("/etc/passwd", ""); err == nil {
		t.Error("a file is no device")
	}
	testnode.NeedRoot(t)
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "sub/b"} {
		if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
	}
	list, err = devicesAt(dir, "/dev/d")
	if err != nil || len(list) != 2 || list[0].Path != "/dev/d/a" || list[1].Path != "/dev/d/sub/b" {
		t.Fatalf("%+v, %v", list, err)
	}
}

func TestLocalHost(t *testing.T) {
	h := Host{}.orLocal()
	if h.Hostname == nil || h.Devices == nil || h.DevicesAt == nil || h.Resolve == nil || h.Propagation == nil || h.ReadFile == nil || h.AppArmorLoaded == nil {
		t.Fatalf("%+v", h)
	}
	devices, err := h.Devices()
	if err != nil || len(devices) == 0 {
		t.Fatal(err)
	}
	for _, d := range devices {
		if strings.HasPrefix(d.Path, "/dev/pts/") || d.Path == "/dev/console" {
			t.Errorf("%s is the terminal's", d.Path)
		}
	}
}
