// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestForeignFiles(t *testing.T) {
	r := inside(t.TempDir(), New())
	conf := simple("10.1.2.0/24")
	if err := os.MkdirAll(r.network(), 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(r.network(), name) }
	secret := filepath.Join(r.dir, "secret")
	write(t, secret, "a\r\neth0")
	write(t, at("10.1.2.2"), strings.Repeat("x", 1<<20))
	write(t, at("10.1.2.3"), "")
	write(t, at("10.1.2.4"), "\x00\xff\r\n\r\n")
	write(t, at("README"), "a\r\neth0")
	write(t, at("010.1.2.9"), "a\r\neth0")
	for _, err := range []error{unix.Mkfifo(at("10.1.2.5"), 0o600), os.Mkdir(at("10.1.2.6"), 0o700),
		os.Symlink(secret, at("10.1.2.7")), os.Symlink("/dev/zero", at("10.1.2.8"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, r.dir)
	if got := add(t, r, "a", conf); got != "10.1.2.9" {
		t.Errorf("got %s", got)
	}
	del(t, r, "a", conf)
	for _, ours := range []string{"last_reserved_ip.0", "lock"} {
		if err := os.Remove(at(ours)); err != nil {
			t.Error(err)
		}
	}
	if after := files(t, r.dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestBrokenBookkeeping has something else where the plugin writes. What it cannot write down it does not give.
func TestBrokenBookkeeping(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		for _, file := range []string{"last_reserved_ip.0", "lock"} {
			t.Run(name+" "+file, func(t *testing.T) {
				r := inside(t.TempDir(), New())
				if err := errors.Join(os.MkdirAll(r.network(), 0o755), spoil(filepath.Join(r.network(), file))); err != nil {
					t.Fatal(err)
				}
				_, err := r.run(t, call{verb: "ADD", id: "a", conf: simple("10.1.2.0/24")})
				if code(err) != types.ErrIOFailure {
					t.Errorf("ADD: %v", err)
				}
				if left := leases(t, r.network()); len(left) != 0 {
					t.Errorf("leaked %v", left)
				}
			})
		}
	}
	for _, content := range []string{"", "x", "10.9.9.9", "2001:db8::1", strings.Repeat("1", 10000), "10.1.2.255", "::", "0.0.0.0"} {
		r := inside(t.TempDir(), New())
		if err := os.MkdirAll(r.network(), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(r.network(), "last_reserved_ip.0"), content)
		if got := add(t, r, "a", simple("10.1.2.0/24")); got != "10.1.2.2" {
			t.Errorf("after %.20q: %s", content, got)
		}
	}
}

// tiny mounts a file system with room for a few files.
func tiny(t *testing.T, options string) string {
	t.Helper()
	testnode.NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestNoSpace(t *testing.T) {
	for _, options := range []string{"size=24k", "nr_inodes=8"} {
		t.Run(options, func(t *testing.T) {
			r := inside(tiny(t, options), New())
			conf := simple("10.1.2.0/24")
			for i := range 20 {
				_, err := r.run(t, call{verb: "ADD", id: fmt.Sprint(i), conf: conf})
				if err != nil && code(err) != types.ErrIOFailure {
					t.Errorf("ADD %d: %v", i, err)
				}
				if _, check := r.run(t, call{verb: "CHECK", id: fmt.Sprint(i), conf: conf}); (check == nil) != (err == nil) {
					t.Errorf("ADD %d: %v, but CHECK: %v", i, err, check)
				}
			}
			full := len(leases(t, r.network()))
			if full == 0 || full == 20 {
				t.Fatalf("%d leases", full)
			}
			for i := range 20 {
				del(t, r, fmt.Sprint(i), conf)
			}
			if left := leases(t, r.network()); len(left) != 0 {
				t.Errorf("leaked %v", left)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	r := inside(tiny(t, ""), New())
	conf := strings.Replace(simple("10.1.2.0/24"), "1.0.0", "1.1.0", 1)
	add(t, r, "a", conf)
	if err := unix.Mount("", r.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for verb, want := range map[string]uint{"ADD": types.ErrIOFailure, "DEL": types.ErrIOFailure, "STATUS": types.ErrPluginNotAvailable} {
		id := map[string]string{"ADD": "b", "DEL": "a"}[verb]
		if _, err := r.run(t, call{verb: verb, id: id, conf: conf}); code(err) != want {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if _, err := r.run(t, call{verb: "CHECK", id: "a", conf: conf}); err != nil {
		t.Error(err)
	}
	if err := unix.Mount("", r.dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if got := leases(t, r.network()); len(got) != 1 {
		t.Errorf("leases: %v", got)
	}
	del(t, r, "a", conf)
	if got := leases(t, r.network()); len(got) != 0 {
		t.Errorf("leases: %v", got)
	}
}
