// SPDX-License-Identifier: Apache-2.0

package features

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mounted adds a mount.
func mounted(destination, fstype, source string, options ...string) change {
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: destination, Type: fstype, Source: source, Options: options})
	}
}

// flagsOf prints the mount options of a path.
func flagsOf(path string) string {
	return "awk '$5==\"" + path + "\" {print $6}' /proc/self/mountinfo | tail -n 1"
}

func TestMounts(t *testing.T) {
	b := newBox(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "f")
	b.check(t, []inside{
		{"bind", mounted("/v", "bind", dir, "bind"), "cat /v/f; touch /v/new && rm /v/new && echo writable", "content\nwritable"},
		{"bind of a file", mounted("/etc/deep/er/f", "bind", file, "bind", "ro"), "cat /etc/deep/er/f", "content"},
		{"bind ro", mounted("/v", "bind", dir, "rbind", "ro"), "touch /v/new 2>/dev/null || echo refused", "refused"},
		{"bind options", mounted("/v", "bind", dir, "rbind", "nosuid", "nodev", "noexec", "noatime"), flagsOf("/v"), "rw,nosuid,nodev,noexec,noatime"},
		{"bind nodiratime strictatime", mounted("/v", "bind", dir, "rbind", "nodiratime", "strictatime"), flagsOf("/v"), "rw,nodiratime"},
		{"bind relatime", mounted("/v", "bind", dir, "rbind", "relatime"), flagsOf("/v"), "rw,relatime"},
		{"bind nosymfollow", mounted("/v", "bind", dir, "rbind", "nosymfollow"), flagsOf("/v"), "rw,relatime,nosymfollow"},
		{"type none with bind", mounted("/v", "none", dir, "rbind"), "cat /v/f", "content"},
		{"tmpfs", mounted("/t", "tmpfs", "tmpfs", "nosuid", "size=64k", "mode=1770"), "stat -c %a /t; df -k /t | tail -n 1 | awk '{print $2}'", "1770\n64"},
		{"tmpfs ro", mounted("/t", "tmpfs", "tmpfs", "ro"), "touch /t/x 2>/dev/null || echo refused", "refused"},
		{"tmpcopyup", mounted("/etc", "tmpfs", "tmpfs", "tmpcopyup"), "grep -c root /etc/passwd; touch /etc/x && echo writable", "1\nwritable"},
		{"proc", nothing(), "stat -f -c %T /proc; ls /proc/1/status", "proc\n/proc/1/status"},
		{"sysfs", nothing(), "stat -f -c %T /sys; touch /sys/x 2>/dev/null || echo refused", "sysfs\nrefused"},
		{"devpts", nothing(), "stat -f -c %T /dev/pts; test -c /dev/pts/ptmx && echo ptmx", "devpts\nptmx"},
		{"mqueue", nothing(), "awk '$5==\"/dev/mqueue\" {print $9}' /proc/self/mountinfo", "mqueue"},
		{"shm", nothing(), "stat -c %a /dev/shm; touch /dev/shm/x && echo writable", "1777\nwritable"},
		{"order", func(s *specs.Spec) {
			mounted("/a", "tmpfs", "one")(s)
			mounted("/a/b", "tmpfs", "two")(s)
			mounted("/a", "tmpfs", "three")(s)
		}, "mount | grep ' /a' | cut -d' ' -f1 | tr '\\n' ' '; ls /a | wc -l", "one two three 0"},
	})
}

func nothing() change { return func(*specs.Spec) {} }

// Recursive options reach mounts below the bound directory.
func TestRecursiveMountOptions(t *testing.T) {
	b := newBox(t)
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, sub)
	write := "touch /v/sub/x 2>/dev/null && echo written || echo refused"
	b.check(t, []inside{
		{"ro is for the top", mounted("/v", "bind", dir, "rbind", "ro"), write, "written"},
		{"rro", mounted("/v", "bind", dir, "rbind", "rro"), write, "refused"},
		{"rnosuid rnodev rnoexec", mounted("/v", "bind", dir, "rbind", "rnosuid", "rnodev", "rnoexec"), flagsOf("/v/sub"), "rw,nosuid,nodev,noexec,relatime"},
		{"rnoatime", mounted("/v", "bind", dir, "rbind", "rnoatime"), flagsOf("/v/sub"), "rw,noatime"},
		{"bind leaves submounts out", mounted("/v", "bind", dir, "bind"), "grep -c /v/sub /proc/self/mountinfo", "0"},
	})
}

func TestPropagation(t *testing.T) {
	b := newBox(t)
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, shared)
	makeShared(t, shared)
	kind := func(path string) string {
		return "awk '$5==\"" + path + "\" {for (i=7; $i!=\"-\"; i++) {sub(/:.*/, \"\", $i); print $i}}' /proc/self/mountinfo"
	}
	b.check(t, []inside{
		{"private", mounted("/v", "bind", shared, "rbind", "rprivate"), kind("/v"), ""},
		{"slave", mounted("/v", "bind", shared, "rbind", "rslave"), kind("/v"), "master"},
		{"shared", func(s *specs.Spec) {
			s.Linux.RootfsPropagation = "rshared"
			mounted("/v", "bind", shared, "rbind", "rshared")(s)
		}, kind("/v"), "shared"},
		{"unbindable", mounted("/v", "bind", shared, "rbind", "unbindable"), kind("/v"), "unbindable"},
	})
	// A mount made by the host afterwards is seen through a slave.
	got, err := b.run(t, "i=0; while [ $i -lt 2000 ]; do grep -q /v/late /proc/self/mountinfo && echo seen && exit; i=$((i+1)); usleep 20000; done; echo missed",
		mounted("/v", "bind", shared, "rbind", "rslave"), func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "mkdir -p " + shared + "/late && mount -t tmpfs late " + shared + "/late"}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}}}
		})
	if err != nil || got.out != "seen" {
		t.Errorf("a later mount of the host: %q, %v", got.out, err)
	}
	unmount(t, shared+"/late")
}

func TestManyMounts(t *testing.T) {
	b := newBox(t)
	dir := t.TempDir()
	const many = 1000
	got, err := b.run(t, "grep -c ' /many/' /proc/self/mountinfo", func(s *specs.Spec) {
		for i := range many {
			mounted(fmt.Sprintf("/many/%sm%d", strings.Repeat("d/", i%3), i), "bind", dir, "bind", "ro")(s)
		}
	})
	if err != nil || got.out != "1000" {
		t.Errorf("%q, %v", got.out, err)
	}
}

func TestBadMounts(t *testing.T) {
	b := newBox(t)
	b.refuse(t, []refusal{
		{"missing source", mounted("/v", "bind", "/does/not/exist", "bind"), "/does/not/exist", errdefs.IsNotFound},
		{"unknown type", mounted("/v", "nofs", "x"), "nofs", nil},
		{"unknown option", mounted("/v", "tmpfs", "x", "nonsense=1"), "nonsense", nil},
	})
}

func TestRoot(t *testing.T) {
	b := newBox(t)
	b.check(t, []inside{
		{"writable", nothing(), "touch /x && echo written", "written"},
		{"read-only", func(s *specs.Spec) { s.Root.Readonly = true }, "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm", "refused\nshm"},
		{"masked file", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/etc/passwd"} }, "cat /etc/passwd; stat -c %F /etc/passwd", "character special file"},
		{"masked directory", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/bin/../etc", "/none"} }, "ls -A /etc | wc -l; touch /etc/x 2>/dev/null || echo refused", "0\nrefused"},
		{"read-only path", func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/etc", "/none"} }, "touch /etc/x 2>/dev/null || echo refused; touch /x && echo written", "refused\nwritten"},
		{"only its own mounts", nothing(), "grep -c overlay /proc/self/mountinfo; ls /proc/1/root/ | grep -c work", "1\n0"},
		{"propagation shared", func(s *specs.Spec) { s.Linux.RootfsPropagation = "rshared" }, "awk '$5==\"/\" {print $7}' /proc/self/mountinfo | cut -d: -f1", "shared"},
		{"propagation default", nothing(), "awk '$5==\"/\" {print $7}' /proc/self/mountinfo", "-"},
	})
}
