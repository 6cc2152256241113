// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func openDirectory(t testing.TB) (string, int) {
	t.Helper()
	path := t.TempDir()
	dir, err := OpenFD(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(dir) })
	return path, dir
}

func TestSmallFiles(t *testing.T) {
	path, dir := openDirectory(t)
	for name, create := range map[string]func(int, string, []byte, uint32) error{"hidden": CreateSmall, "visible": createVisible} {
		if err := create(dir, name, []byte("one\r\ntwo"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := create(dir, name, []byte("other"), 0o600); !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s again: %v", name, err)
		}
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		for _, content := range []string{"a longer content than before", "short"} {
			if err := ReplaceSmall(dir, name, []byte(content), 0o600); err != nil {
				t.Error(err)
			}
			if data, err := ReadSmall(dir, name, 100); string(data) != content || err != nil {
				t.Errorf("%s: %q, %v", name, data, err)
			}
		}
		if err := UnlinkAt(dir, name); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(path); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestReadSmallStopsAtItsLimit(t *testing.T) {
	path, dir := openDirectory(t)
	big := bytes.Repeat([]byte("0123456789"), 1000)
	if err := os.WriteFile(filepath.Join(path, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{0, 1, 511, 512, 513, 5000, 10000, 20000} {
		data, err := ReadSmall(dir, "big", limit)
		if err != nil || !bytes.Equal(data, big[:min(limit, len(big))]) {
			t.Errorf("limit %d: %d bytes, %v", limit, len(data), err)
		}
	}
}

func TestSmallFilesAreRegular(t *testing.T) {
	path, dir := openDirectory(t)
	if err := unix.Mkfifo(filepath.Join(path, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(path, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "link", "directory"} {
		if data, err := ReadSmall(dir, name, 10); err == nil {
			t.Errorf("read %s: %q", name, data)
		}
		if err := ReplaceSmall(dir, name, []byte("x"), 0o600); err == nil {
			t.Errorf("wrote %s", name)
		}
		if err := CreateSmall(dir, name, []byte("x"), 0o600); !errors.Is(err, unix.EEXIST) {
			t.Errorf("create %s: %v", name, err)
		}
		if fd, err := OpenLock(dir, name, 0o600); err == nil {
			unix.Close(fd)
			t.Errorf("lock %s", name)
		}
	}
}

func TestLockIsExclusive(t *testing.T) {
	_, dir := openDirectory(t)
	var fds [2]int
	for i := range fds {
		fd, err := OpenLock(dir, "lock", 0o750)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	if err := TryLock(fds[0], "lock"); err != nil {
		t.Fatal(err)
	}
	if err := TryLock(fds[1], "lock"); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("second lock: %v", err)
	}
	if err := Unlock(fds[0], "lock"); err != nil {
		t.Error(err)
	}
	if err := TryLock(fds[1], "lock"); err != nil {
		t.Errorf("after unlock: %v", err)
	}
}

func BenchmarkCreateSmall(b *testing.B) {
	for name, create := range map[string]func(int, string, []byte, uint32) error{"hidden": CreateSmall, "visible": createVisible} {
		b.Run(name, func(b *testing.B) {
			_, dir := openDirectory(b)
			for i := range b.N {
				file := strconv.Itoa(i % 1000)
				if err := create(dir, file, []byte("0123456789abcdef\r\neth0"), 0o600); err != nil {
					b.Fatal(err)
				}
				if err := UnlinkAt(dir, file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
