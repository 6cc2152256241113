// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/testnode"
)

// manyDescriptors opens as many as the daemon has on a full node.
func manyDescriptors(t testing.TB, n int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(n)+1000 {
		testnode.Unavailable(t, fmt.Sprintf("RLIMIT_NOFILE is %d", limit.Cur))
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fds := []int{int(null.Fd())}
	t.Cleanup(func() {
		for _, fd := range fds[1:] {
			unix.Close(fd)
		}
		null.Close()
	})
	for range n {
		fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
}

// A program must not pay for the descriptors of the daemon: neither in its table, nor in its start.
func TestProgramHasASmallDescriptorTable(t *testing.T) {
	dir := image(t)
	l := newLauncher(t)
	manyDescriptors(t, 3000)
	res, err := outcome(t, l, request(overlayOn(t, dir), "sh", "-c", "grep FDSize /proc/$$/status"), launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if fields := strings.Fields(res.output); len(fields) != 2 || fields[1] != "64" {
		t.Errorf("the table of the program: %s", res.output)
	}
}

// More launches at a time than there are slots for take the slower way.
func TestLaunchesAtTheSameTime(t *testing.T) {
	dir := image(t)
	l := newLauncher(t)
	before := descriptors(t)
	var group sync.WaitGroup
	for i := range 40 {
		req := request(overlayOn(t, dir), "sh", "-c", "exit "+strconv.Itoa(i))
		group.Go(func() {
			p, err := l.Launch(context.Background(), req, launch.Stdio{}, nil, launch.Host{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := p.Start(context.Background()); err != nil {
				t.Error(err)
			}
			if code := wait(t, p); code != i {
				t.Errorf("exit code %d instead of %d", code, i)
			}
		})
	}
	group.Wait()
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	for _, target := range targets(t) {
		if strings.Contains(target, "anon_inode:[pidfd]") {
			t.Errorf("still open: %s", target)
		}
	}
}

// Containers hide directories behind one file system where the kernel lets them.
func TestMasksAreOfOneFileSystem(t *testing.T) {
	l := newLauncher(t)
	dir := image(t)
	device := func() string {
		res, err := outcome(t, l, request(overlayOn(t, dir), "stat", "-c", "%d %i %a", "/sys/firmware"), launch.Host{})
		if err != nil || res.code != 0 {
			t.Fatal(res, err)
		}
		return res.output
	}
	tree, err := kernel.EmptyTree()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	copied, err := kernel.OpenTree(tree, "", false)
	if err == nil {
		unix.Close(copied)
	}
	first := device()
	for range 8 { // they take the number that was the first one's, if it is free again
		other, err := kernel.EmptyTree()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(other)
	}
	if second := device(); (first == second) != (err == nil) {
		t.Errorf("copy of a detached mount: %v; masks are %q and %q", err, first, second)
	}
}

func descriptors(t *testing.T) int { return len(targets(t)) }

func targets(t *testing.T) (list []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil {
			list = append(list, target)
		}
	}
	return list
}

func BenchmarkLaunchWithManyDescriptors(b *testing.B) {
	dir := image(b)
	l := newLauncher(b)
	manyDescriptors(b, 8000)
	mounts := overlayOn(b, dir)
	for b.Loop() {
		res, err := outcome(b, l, request(mounts, "true"), launch.Host{})
		if err != nil || res.code != 0 {
			b.Fatal(res, err)
		}
	}
}
