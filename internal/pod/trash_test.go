// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func openTestLayers(t *testing.T, dir string) *layers {
	t.Helper()
	l, err := openLayers(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tmpfs is a directory in memory: how fast the disk is does not matter.
func tmpfs(t *testing.T) string {
	t.Helper()
	testnode.NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=711,nr_inodes=100000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// awaitEmpty waits until nothing is left in the trash.
func awaitEmpty(t *testing.T, l *layers) {
	t.Helper()
	for deadline := time.Now().Add(testnode.Patience); ; time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(l.trash.dir)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d directories are left, %v", len(entries), err)
		}
		if len(entries) == 0 && l.trash.waiting.Load() == 0 {
			return
		}
	}
}

// TestTrash deletes what is dropped though nobody waits, also what an earlier daemon dropped.
func TestTrash(t *testing.T) {
	dir := t.TempDir()
	l := openTestLayers(t, dir)
	for _, id := range strings.Fields("a b c d") {
		if err := l.of(id).make(0, 0, 1); err != nil {
			t.Fatal(err)
		}
		if err := l.drop(id); err != nil {
			t.Fatal(err)
		}
		if err := l.drop(id); err != nil {
			t.Error("once more:", err)
		}
	}
	l.close()
	if err := l.drop("x"); err != nil {
		t.Error("after the end:", err)
	}
	l = openTestLayers(t, dir)
	awaitEmpty(t, l)
	l.close()
}

// manyFiles is how many a large layer of the tests has.
const manyFiles = 50_000

// TestTrashOfManyFiles: to drop a layer takes no time however large it is, the daemon ends without waiting for its deletion, and the
// next one goes on with that, with no more than its share of the processors.
func TestTrashOfManyFiles(t *testing.T) {
	dir := tmpfs(t)
	// Who waited would never see anything left.
	testnode.Eventually(t, "something is left for the next daemon", func() bool { return leaveLarge(t, dir) })
	l := openTestLayers(t, dir)
	t.Cleanup(l.close)
	began, before := time.Now(), cpuTime(t)
	awaitEmpty(t, l)
	took, used := time.Since(began), cpuTime(t)-before
	t.Logf("deleted in %v with %v of processors", took, used)
	if used > took*3/4 {
		t.Errorf("the deletion took %v of processors in %v", used, took)
	}
}

// leaveLarge drops a large layer and ends the daemon in the middle of its deletion. That it is still there after the drop and after the
// end shows that nobody has waited; the time would depend on the machine. It reports false when the deletion was over before this test, held
// up on a busy machine, could look.
func leaveLarge(t *testing.T, dir string) bool {
	t.Helper()
	l := openTestLayers(t, dir)
	awaitEmpty(t, l) // of the last attempt
	if err := l.of("large").make(0, 0, 0); err != nil {
		t.Fatal(err)
	}
	fill(t, l.of("large").upper(), manyFiles)
	if err := l.drop("large"); err != nil {
		t.Fatal(err)
	}
	dropped := l.trash.waiting.Load() == 1
	time.Sleep(5 * workTime)
	l.close()
	left, _ := os.ReadDir(filepath.Join(l.trash.dir, "large", "fs"))
	return dropped && len(left) > 0
}

// fill makes n files, a hundred in a directory.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprint(i/100))
		if i%100 == 0 {
			if err := os.Mkdir(sub, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mknod(filepath.Join(sub, fmt.Sprint(i)), unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrashIsHostile: links lead nowhere, and directories may be nested deeper than there are descriptors.
func TestTrashIsHostile(t *testing.T) {
	dir := tmpfs(t)
	outside := filepath.Join(dir, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(outside, "precious"), "", 0o600)
	l := openTestLayers(t, filepath.Join(dir, "root"))
	t.Cleanup(l.close)
	if err := l.of("hostile").make(0, 0, 0); err != nil {
		t.Fatal(err)
	}
	upper := l.of("hostile").upper()
	if err := os.Symlink(outside, filepath.Join(upper, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(upper, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	nest(t, upper, 3000)
	files, threads := descriptors(t), goruntime.NumGoroutine()
	if err := l.drop("hostile"); err != nil {
		t.Fatal(err)
	}
	awaitEmpty(t, l)
	if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
		t.Error(err)
	}
	// It looks once more after the last directory, and closes the trash then.
	testnode.Eventually(t, fmt.Sprintf("no more than %d descriptors", files), func() bool { return descriptors(t) <= files })
	testnode.Eventually(t, fmt.Sprintf("no more than %d goroutines", threads+1), func() bool { return goruntime.NumGoroutine() <= threads+1 })
}

// nest makes depth directories, each in the one before, whose paths are longer than a path may be.
func nest(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	for range depth {
		if err == nil {
			err = unix.Mkdirat(fd, "deeper", 0o755)
		}
		below := -1
		if err == nil {
			below, err = unix.Openat(fd, "deeper", unix.O_PATH|unix.O_DIRECTORY, 0)
		}
		unix.Close(fd)
		fd = below
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}
