// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

const everyNew = unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

func openPool(t testing.TB, size int) *Store {
	t.Helper()
	testnode.NeedRoot(t)
	s, err := Open(filepath.Join(t.TempDir(), "ns"))
	if err != nil {
		t.Fatal(err)
	}
	s.Pool(size)
	return s
}

// ready waits until so many namespaces are made ahead, and returns their inode numbers, which nothing else has before the test ends.
func ready(t testing.TB, s *Store, n int) map[uint64]bool {
	t.Helper()
	found := map[uint64]bool{}
	waitReady(t, s, n, func(f *os.File) {
		held, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(held) })
		found[inode(t, f)] = true
	})
	return found
}

// waitReady waits until so many namespaces are made ahead, and shows them.
func waitReady(t testing.TB, s *Store, n int, show func(*os.File)) {
	t.Helper()
	full := func() bool {
		s.pool.mu.Lock()
		defer s.pool.mu.Unlock()
		if len(s.pool.ready) != n {
			return false
		}
		for _, f := range s.pool.ready {
			show(f)
		}
		return true
	}
	testnode.Eventually(t, fmt.Sprintf("%d namespaces in the pool", n), full)
}

func inode(t testing.TB, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func make1(t testing.TB, s *Store, key string, req *Request) *Set {
	t.Helper()
	set, err := s.Make(key, req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close(); s.Remove(key) }) // the directory goes with the test
	return set
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	keys, err := s.List()
	for _, key := range keys {
		if err := s.Remove(key); err != nil {
			t.Error(err)
		}
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// describe tells all that a process could see of a network namespace: its sysctls, interfaces, addresses, routes, and whose it is.
func describe(t *testing.T, f *os.File) map[string]string {
	t.Helper()
	seen := map[string]string{}
	owner, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(owner)
	var st unix.Stat_t
	if err := unix.Fstat(owner, &st); err != nil {
		t.Fatal(err)
	}
	seen["owner"] = string(rune(st.Ino))
	kernel.OnThread(func() {
		if err := kernel.Setns(int(f.Fd()), unix.CLONE_NEWNET, "net"); err != nil {
			t.Error(err)
			return
		}
		for _, dir := range []string{"/proc/sys/net", "/proc/thread-self/net"} {
			filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not compared
				if err == nil && d.Type().IsRegular() && !changing(path) {
					text, _ := os.ReadFile(path)
					seen[path] = string(text)
				}
				return nil
			})
		}
	})
	return seen
}

// changing are counters, random numbers, and what tells of all namespaces.
func changing(path string) bool {
	for _, part := range []string{
		"/proc/thread-self/net/stat", "/proc/thread-self/net/netlink", "/proc/thread-self/net/packet", "/proc/thread-self/net/protocols",
		"/proc/thread-self/net/sockstat", "/proc/thread-self/net/unix", "/proc/thread-self/net/ptype", "/proc/thread-self/net/igmp",
		"/proc/thread-self/net/netstat", "/proc/thread-self/net/snmp", "/proc/thread-self/net/softnet", "/proc/thread-self/net/nf_conntrack",
		"random", "stable_secret", "nf_conntrack_count", "tcp_fastopen_key",
	} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

func TestPoolIsLikeNew(t *testing.T) {
	s := openPool(t, 3)
	req := &Request{New: everyNew, Hostname: "a"}
	fresh := make1(t, s, "fresh", req)
	ahead := ready(t, s, 3)
	pooled := make1(t, s, "pooled", req)
	f := pooled.File(unix.CLONE_NEWNET)
	if !ahead[inode(t, f)] || ahead[inode(t, fresh.File(unix.CLONE_NEWNET))] {
		t.Fatal("the second namespace is not from the pool, or the first is")
	}
	want, got := describe(t, fresh.File(unix.CLONE_NEWNET)), describe(t, f)
	if len(want) < 200 {
		t.Errorf("only %d things are compared", len(want))
	}
	for name := range want {
		if want[name] != got[name] {
			t.Errorf("%s is %q, of a new one %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d things, of a new one %d", len(got), len(want))
	}
	closeStore(t, s)
}

func TestPoolSysctls(t *testing.T) {
	s := openPool(t, 1)
	req := &Request{New: everyNew, Hostname: "a", Sysctls: map[string]string{"net.core.somaxconn": "77", "net.ipv4.ip_forward": "1"}}
	make1(t, s, "first", req)
	ready(t, s, 1)
	set := make1(t, s, "second", req)
	seen := describe(t, set.File(unix.CLONE_NEWNET))
	if seen["/proc/sys/net/core/somaxconn"] != "77\n" || seen["/proc/sys/net/ipv4/ip_forward"] != "1\n" {
		t.Error("sysctls are not set")
	}
	bad := *req
	bad.Sysctls = map[string]string{"net.core.none": "1"}
	used := ready(t, s, 1)
	if _, err := s.Make("bad", &bad); err == nil {
		t.Fatal("made with a sysctl that there is not")
	}
	if again := ready(t, s, 1); maps.Equal(used, again) {
		t.Error("a namespace that was given away is in the pool again")
	}
	closeStore(t, s)
}

// TestPoolOutdated: a namespace that was made before a sysctl of the host changed is not like a new one.
func TestPoolOutdated(t *testing.T) {
	testnode.NeedRoot(t)
	kernel.OnThread(func() { // a host of its own
		if err := kernel.Unshare(unix.CLONE_NEWNET, "host"); err != nil {
			t.Error(err)
			return
		}
		i, err := openInherited()
		if err != nil {
			t.Error(err)
			return
		}
		defer i.close()
		before := i.read()
		if before == "" || before != i.read() {
			t.Error("what does not change reads differently")
		}
		for _, name := range []string{"ipv4/ip_forward", "ipv4/conf/default/rp_filter", "ipv4/neigh/default/delay_first_probe_time"} {
			text, err := os.ReadFile("/proc/sys/net/" + name)
			if os.IsNotExist(err) {
				continue
			}
			changed := "1"
			if text[0] == '1' {
				changed = "2"
			}
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(changed), 0); err != nil {
				t.Error(err)
			}
			if i.read() == before {
				t.Errorf("%s changed, and nobody saw it", name)
			}
			before = i.read()
		}
	})
	s := openPool(t, 2)
	req := &Request{New: everyNew}
	make1(t, s, "first", req)
	ahead := ready(t, s, 2)
	s.pool.mu.Lock()
	s.pool.stamp += "changed"
	s.pool.mu.Unlock()
	set := make1(t, s, "second", req)
	if ahead[inode(t, set.File(unix.CLONE_NEWNET))] {
		t.Error("an outdated namespace was given away")
	}
	for n := range ready(t, s, 2) {
		if ahead[n] {
			t.Error("an outdated namespace is still in the pool")
		}
	}
	closeStore(t, s)
}

// TestPoolIsSpared by pods in the host's network or in namespaces that exist.
func TestPoolIsSpared(t *testing.T) {
	s := openPool(t, 2)
	given := make1(t, s, "first", &Request{New: everyNew})
	ahead := ready(t, s, 2)
	make1(t, s, "host", &Request{New: unix.CLONE_NEWIPC})
	set := make1(t, s, "given", &Request{Given: map[uintptr]*os.File{unix.CLONE_NEWNET: given.File(unix.CLONE_NEWNET)}})
	if inode(t, set.File(unix.CLONE_NEWNET)) != inode(t, given.File(unix.CLONE_NEWNET)) {
		t.Error("a given namespace was replaced")
	}
	if !maps.Equal(ahead, ready(t, s, 2)) {
		t.Error("the pool was used")
	}
	closeStore(t, s)
}

func TestPoolEnds(t *testing.T) {
	r, w, err := os.Pipe() // from its first one on Go's poller has descriptors of its own
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	before, files := runtime.NumGoroutine(), openFiles(t)
	for range 5 {
		s := openPool(t, 4)
		s.pool.refill()
		waitReady(t, s, 4, func(*os.File) {})
		closeStore(t, s)
		unused := openPool(t, 4)
		closeStore(t, unused)
		none := openPool(t, 0)
		set, err := none.Make("a", &Request{New: everyNew})
		if err != nil {
			t.Fatal(err)
		}
		set.Close()
		closeStore(t, none)
	}
	if n := openFiles(t); n > files { // fewer: the collector has closed what other tests have left
		t.Errorf("%d open files, %d before", n, files)
	}
	// One that was waited for may still be on its last instructions.
	testnode.Eventually(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// BenchmarkNetwork is the time of one Make at the pace of a busy node.
func BenchmarkNetwork(b *testing.B) {
	for name, size := range map[string]int{"pool=0": 0, "pool=4": 4} {
		b.Run(name, func(b *testing.B) {
			s := openPool(b, size)
			defer closeStore(b, s)
			var took time.Duration
			for b.Loop() {
				began := time.Now()
				set, err := s.Make("a", &Request{New: everyNew, SHM: SHM{Size: 1 << 20}})
				took += time.Since(began)
				if err != nil {
					b.Fatal(err)
				}
				set.Close()
				if err := s.Remove("a"); err != nil {
					b.Fatal(err)
				}
				time.Sleep(16*time.Millisecond - time.Since(began))
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N), "µs/make")
		})
	}
}
