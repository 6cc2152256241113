// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// leaksOf compares the node before and after leak, and checks that all is well
// again once the returned function has run.
func leaksOf(t *testing.T, opts Options, leak func() (undo func())) []Leak {
	t.Helper()
	before, err := Take(opts)
	if err != nil {
		t.Fatal(err)
	}
	undo := leak()
	after, err := Take(opts)
	if err != nil {
		t.Fatal(err)
	}
	undo()
	left, err := WaitClean(before)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 && !opts.Everything {
		t.Errorf("still there after it was undone:\n%s", List(left))
	}
	return Diff(before, after)
}

func wantKinds(t *testing.T, leaks []Leak, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		if !slices.ContainsFunc(leaks, func(l Leak) bool { return l.Kind == kind }) {
			t.Errorf("no %s among the leaks:\n%s", kind, List(leaks))
		}
	}
	for _, l := range leaks {
		if !slices.Contains(kinds, l.Kind) {
			t.Errorf("unexpected leak: %s", l)
		}
	}
}

func TestProcess(t *testing.T) {
	leaks := leaksOf(t, Options{}, func() func() {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitCommand(t, strconv.Itoa(cmd.Process.Pid), "sleep")
		return func() { cmd.Process.Kill(); cmd.Wait() }
	})
	// os/exec holds a pidfd where the kernel has them.
	leaks = slices.DeleteFunc(leaks, func(l Leak) bool { return strings.Contains(l.Name, "pidfd") })
	wantKinds(t, leaks, "process")
	if !strings.Contains(List(leaks), "sleep 60") {
		t.Errorf("the command line is missing:\n%s", List(leaks))
	}
}

func TestOrphanByDirectory(t *testing.T) {
	dir := t.TempDir()
	leaks := leaksOf(t, Options{Dirs: []string{dir}}, func() func() {
		// A grandchild whose parent is gone: only its arguments tell whose it is.
		out, err := exec.Command("sh", "-c", "sleep 60 >/dev/null 2>&1 & exec echo $!").Output()
		if err != nil {
			t.Fatal(err)
		}
		foreign := strings.TrimSpace(string(out))
		out, err = exec.Command("sh", "-c", fmt.Sprintf("tail -f %s >/dev/null 2>&1 & exec echo $!", "/dev/null "+dir+"/x")).Output()
		if err != nil {
			t.Fatal(err)
		}
		ours := strings.TrimSpace(string(out))
		awaitCommand(t, ours, "tail")
		return func() { exec.Command("kill", "-9", foreign, ours).Run() }
	})
	wantKinds(t, leaks, "process")
	if len(leaks) != 1 {
		t.Errorf("%d leaks, want the one process that names the directory:\n%s", len(leaks), List(leaks))
	}
}

func TestMountAndNamespace(t *testing.T) {
	NeedRoot(t)
	dir := t.TempDir()
	pin := filepath.Join(dir, "uts")
	if err := os.WriteFile(pin, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	leaks := leaksOf(t, Options{Dirs: []string{dir}}, func() func() {
		if err := pinNewUTS(pin); err != nil {
			t.Fatal(err)
		}
		return func() { unix.Unmount(pin, unix.MNT_DETACH) }
	})
	wantKinds(t, leaks, "mount", "namespace")
}

// pinNewUTS binds a new UTS namespace to path, on a thread that ends with it.
func pinNewUTS(path string) error {
	done := make(chan error, 1)
	onDoomedThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
			done <- err
			return
		}
		done <- unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/uts", unix.Gettid()), path, "", unix.MS_BIND, "")
	})
	return <-done
}

// onDoomedThread runs f on a thread that ends with it. The main thread can't
// be ended, so where f would land on it, it is kept busy until f is through.
func onDoomedThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		onDoomedThread(func() { defer close(done); f() })
		<-done
	}()
}

func TestThreadNamespace(t *testing.T) {
	NeedRoot(t)
	leaks := leaksOf(t, Options{}, func() func() {
		release, ready := make(chan struct{}), make(chan error, 1)
		onDoomedThread(func() {
			ready <- unix.Unshare(unix.CLONE_NEWUTS)
			<-release
		})
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
		return func() { close(release) }
	})
	wantKinds(t, leaks, "namespace")
}

func TestCgroup(t *testing.T) {
	NeedRoot(t)
	name := fmt.Sprintf("/testnode-%d", os.Getpid())
	hierarchy := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(hierarchy); err != nil {
		hierarchy = "/sys/fs/cgroup"
	}
	for _, test := range []struct {
		name string
		opts Options
		want []string
	}{
		{"ours", Options{Cgroups: []string{name}}, []string{"cgroup"}},
		{"another's", Options{Cgroups: []string{name + "0"}}, nil},
		{"anyone's", Options{Everything: true}, []string{"cgroup"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaks := leaksOf(t, test.opts, func() func() {
				if err := os.MkdirAll(hierarchy+name+"/below", 0o755); err != nil {
					t.Fatal(err)
				}
				return func() { os.Remove(hierarchy + name + "/below"); os.Remove(hierarchy + name) }
			})
			// Where everything counts, other tests may be at work.
			leaks = slices.DeleteFunc(leaks, func(l Leak) bool { return test.opts.Everything && !strings.Contains(l.Name, name) })
			wantKinds(t, leaks, test.want...)
		})
	}
}

func TestOthersCgroup(t *testing.T) {
	s := Snapshot{owned: map[int]bool{10: true}}
	for _, test := range []struct {
		procs string
		want  bool
	}{{"", false}, {"10\n", false}, {"10\n11\n", true}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(test.procs), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.othersIn(dir); got != test.want {
			t.Errorf("othersIn with processes %q: %v, want %v", test.procs, got, test.want)
		}
	}
}

func TestDescriptors(t *testing.T) {
	leaks := leaksOf(t, Options{Daemon: os.Getpid}, func() func() {
		fds := make([]int, 2)
		if err := unix.Pipe2(fds, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return func() { unix.Close(fds[0]); unix.Close(fds[1]) }
	})
	wantKinds(t, leaks, "descriptor")
	if want := "of the daemon"; !strings.Contains(List(leaks), want) {
		t.Errorf("no leak %s:\n%s", want, List(leaks))
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b")
	opts := Options{Files: []string{dir, filepath.Join(dir, "missing")}}
	wantKinds(t, leaksOf(t, opts, func() func() {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return func() { os.RemoveAll(filepath.Dir(path)) }
	}), "file")

	opts.Ignore = func(l Leak) bool { return strings.HasPrefix(l.Name, dir+"/a") }
	wantKinds(t, leaksOf(t, opts, func() func() {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return func() { os.RemoveAll(filepath.Dir(path)) }
	}))
}

func TestParseStat(t *testing.T) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseStat(strings.Replace(string(stat), "(", "(a) b (", 1))
	if err != nil {
		t.Fatal(err)
	}
	if p.pid != os.Getpid() || p.parent != syscall.Getppid() || p.start == 0 {
		t.Errorf("parsed %+v, want pid %d, parent %d and a start", p, os.Getpid(), syscall.Getppid())
	}
	for _, bad := range []string{"", "1", "1 (x", "1 (x) S 2", "x (y) " + strings.Repeat("0 ", 20)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q): no error", bad)
		}
	}
}

func TestParseMount(t *testing.T) {
	m, err := parseMount("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n")
	want := mount{id: "36", root: "/mnt1", point: "/mnt2", fstype: "ext3", source: "/dev/root", options: "rw,errors=continue"}
	if err != nil || m != want {
		t.Errorf("parseMount: %+v, %v, want %+v", m, err, want)
	}
	if _, err := parseMount("36 35 98:0 / /"); err == nil {
		t.Error("parseMount of half a line: no error")
	}
}

func TestMountNamespaces(t *testing.T) {
	NeedRoot(t)
	ours, pinned := t.TempDir(), t.TempDir()
	on := filepath.Join(ours, "on")
	if err := os.Mkdir(on, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", on, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(on, unix.MNT_DETACH)
	overlay := fmt.Sprintf("mount -t overlay -o lowerdir=%s:%s none %s", filepath.Join(ours, "on"), pinned, pinned)
	for _, test := range []struct {
		name, script string
		want         []string
	}{
		{"a copy of the node's mounts", "true", nil},
		{"a root file system out of our directory", overlay, []string{"process", "namespace"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaks := leaksOf(t, Options{Dirs: []string{ours}}, func() func() {
				// Gone to init, and nothing in its arguments: only its mounts tell.
				script := "unshare -m --propagation private sh -c '" + test.script + " && exec sleep 60' >/dev/null 2>&1 & exec echo $!"
				out, err := exec.Command("sh", "-c", script).Output()
				if err != nil {
					t.Fatal(err)
				}
				pid := strings.TrimSpace(string(out))
				awaitCommand(t, pid, "sleep")
				return func() { exec.Command("kill", "-9", pid).Run() }
			})
			wantKinds(t, leaks, test.want...)
		})
	}
}

// awaitCommand waits until a process has executed a program and its arguments are there. The kernel takes the old ones away first, then closes
// the descriptors that end with it, which is when os/exec takes a process for started, and tells the new ones last.
func awaitCommand(t *testing.T, pid, name string) {
	t.Helper()
	Eventually(t, "process "+pid+" is "+name, func() bool {
		args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		return strings.HasPrefix(string(args), name+"\x00")
	})
}
