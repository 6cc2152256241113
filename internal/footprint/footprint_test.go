// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	for stat, want := range map[string]struct {
		parent int
		kernel bool
	}{
		"12 (sh) S 7 12 12 0 -1 4194304 100":         {7, false},
		"12 (a) b) (c) R 9 1 1 0 -1 0 0":             {9, false},
		"12 (new\nline 3) S 4 1 1 0 -1 4194560":      {4, false},
		"12 (tmux: server) S 1 3 3 0 -1 4194368 1 0": {1, false},
		"8 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0":  {2, true},
	} {
		if parent, kernel, err := parseStat([]byte(stat)); err != nil || parent != want.parent || kernel != want.kernel {
			t.Errorf("%q: parent %d, of the kernel %t, %v; want %v", stat, parent, kernel, err, want)
		}
	}
	for _, stat := range []string{"", "12 sh S 7", "12 (sh) S", "12 (sh) S x 1 1 0 -1 0", "12 (sh) S 1 1 1 0 -1", "12 (sh) S 1 1 1 0 -1 x"} {
		if parent, _, err := parseStat([]byte(stat)); err == nil {
			t.Errorf("%q: parent %d, want an error", stat, parent)
		}
	}
}

// TestNoKernelThreads: kthreadd is process 2 of a node, and in a pid namespace anything may be.
func TestNoKernelThreads(t *testing.T) {
	parents, err := processTable()
	if err != nil {
		t.Fatal(err)
	}
	if name, _ := os.ReadFile("/proc/2/comm"); string(name) == "kthreadd\n" {
		if _, there := parents[2]; there {
			t.Error("kthreadd is counted")
		}
	}
	if got := parents[os.Getpid()]; got != os.Getppid() {
		t.Errorf("this process's parent is %d, want %d", got, os.Getppid())
	}
}

func TestHelpers(t *testing.T) {
	// 1 starts a shell 10, which runs the daemon 20. Its children: a helper 21
	// with a child 22, and the container 30 with a process 31 in it. A shim 40,
	// adopted by 1, has the container 41 and a pause process 42. 50 is somebody else.
	parents := map[int]int{1: 0, 2: 0, 10: 1, 20: 10, 21: 20, 22: 21, 30: 20, 31: 30, 40: 1, 41: 40, 42: 40, 50: 1}
	for _, c := range []struct {
		containers, want []int
	}{
		{nil, []int{21, 22, 30, 31}},
		{[]int{30}, []int{21, 22}},
		{[]int{30, 41}, []int{21, 22, 40, 42}},
		{[]int{30, 41, 99}, []int{21, 22, 40, 42}}, // 99 ended
	} {
		if got := helpers(parents, 20, c.containers); !slices.Equal(got, c.want) {
			t.Errorf("containers %v: helpers %v, want %v", c.containers, got, c.want)
		}
	}
	// Containers adopted by the shell that also started the daemon.
	parents[60] = 10
	if got := helpers(parents, 20, []int{30, 60}); !slices.Equal(got, []int{21, 22}) {
		t.Errorf("the daemon's own ancestor counts as a helper: %v", got)
	}
}

func TestFindKB(t *testing.T) {
	const text = "Name:	x\nVmPeak:       100 kB\nVmHWM:    42 kB\nVmRSS:\nPss: x kB\n"
	if got, err := findKB(strings.NewReader(text), "VmHWM"); err != nil || got != 42 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, key := range []string{"Vm", "Missing", "VmRSS", "Pss"} {
		if got, err := findKB(strings.NewReader(text), key); err == nil {
			t.Errorf("%s: got %d, want an error", key, got)
		}
	}
}

func TestParseMemory(t *testing.T) {
	const text = "MemTotal: 900 kB\nMemAvailable:    42 kB\nAnonPages: 1 kB\nShmem: 2 kB\nSlab: 99 kB\nSReclaimable: 3 kB\n" +
		"SUnreclaim: 4 kB\nKernelStack: 5 kB\nPageTables: 6 kB\nPercpu: 7 kB\n"
	want := Memory{Available: 42, Anonymous: 1, Shmem: 2, Reclaimable: 3, Unreclaimable: 4, KernelStacks: 5, PageTables: 6, PerCPU: 7}
	if got, err := parseMemory(strings.NewReader(text)); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := parseMemory(strings.NewReader("MemAvailable: 42 kB\n")); err != nil || got != (Memory{Available: 42}) {
		t.Errorf("an older kernel's: got %+v, %v", got, err)
	}
	for _, broken := range []string{"", "MemTotal: 900 kB\n", "MemAvailable:\n", "MemAvailable: x kB\n"} {
		if got, err := parseMemory(strings.NewReader(broken)); err == nil {
			t.Errorf("%q: got %+v, want an error", broken, got)
		}
	}
}

func TestTakeOfThisProcess(t *testing.T) {
	s, err := Take(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Available <= 0 || s.Anonymous <= 0 || s.DaemonRSS <= 0 || s.DaemonPSS <= 0 || s.DaemonHeap <= 0 || s.Others <= 0 || s.Others >= s.Anonymous || s.Mounts <= 0 || s.Processes <= 0 || s.DaemonFiles < 3 || s.Threads <= 0 {
		t.Errorf("%+v", s)
	}
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	with, err := Take(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	as, err := Take(os.Getpid(), []int{child.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	if with.Helpers != s.Helpers+1 || as.Helpers != s.Helpers {
		t.Errorf("helpers: %d before, %d with a child, %d when it is a container", s.Helpers, with.Helpers, as.Helpers)
	}
}

func TestTakeOfNobody(t *testing.T) {
	if s, err := Take(1<<22+1, nil); err == nil {
		t.Errorf("sampled a process that cannot exist: %+v", s)
	}
}

func TestDaemonOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if pid, err := DaemonOf(path); err != nil || pid != os.Getpid() {
		t.Errorf("got %d, %v; this process is %d", pid, err, os.Getpid())
	}
	if pid, err := DaemonOf(path + "x"); err == nil {
		t.Errorf("found %d behind a socket that is not there", pid)
	}
}

func TestUsageCountsWork(t *testing.T) {
	before, err := Usage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// However little of a processor a loaded machine gives.
	const work = 100 * time.Millisecond
	var used CPU
	for deadline := time.Now().Add(time.Minute); used.Self < work; {
		if time.Now().After(deadline) {
			t.Fatalf("busy for a minute, counted %s", used.Self)
		}
		if used, err = before.Since(); err != nil {
			t.Fatal(err)
		}
	}
	// The clock of /proc/PID/stat ticks every 10 ms.
	if used.Daemon < used.Self/2 || used.Daemon > 2*used.Self {
		t.Errorf("by getrusage %s, by /proc/PID/stat %s", used.Self, used.Daemon)
	}
}

// TestRuntimeTimeCountsChildren burns time in a child of this process, which
// only counts once somebody waited for it.
func TestRuntimeTimeCountsChildren(t *testing.T) {
	before, err := RuntimeTime(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	after, err := RuntimeTime(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	burnt := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	if got := after - before; burnt < 20*time.Millisecond || got < burnt-20*time.Millisecond || got > burnt+time.Second {
		t.Errorf("the child used %s, counted %s", burnt, got)
	}
}

func TestRuntimeTimeLeavesContainersOut(t *testing.T) {
	child := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo; sleep 100")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	as, err := RuntimeTime(os.Getpid(), []int{child.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	// Before the sum that it is in: the child still executes what comes next.
	own, err := processTime(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	with, err := RuntimeTime(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if own < 20*time.Millisecond || with-as < own {
		t.Errorf("the child used %s; counted as a helper %s, as a container %s", own, with, as)
	}
}

func TestRuntimeTimeOfNobody(t *testing.T) {
	if got, err := RuntimeTime(1<<22+1, nil); err == nil {
		t.Errorf("%s of a process that cannot exist", got)
	}
}

func TestCatches(t *testing.T) {
	// The Go runtime has handlers of everything that can be caught; sleep of nothing.
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for _, c := range []struct {
		pid    int
		signal syscall.Signal
		want   bool
	}{{os.Getpid(), syscall.SIGTERM, true}, {os.Getpid(), syscall.SIGKILL, false}, {child.Process.Pid, syscall.SIGTERM, false}} {
		if got, err := Catches(c.pid, c.signal); err != nil || got != c.want {
			t.Errorf("process %d, %s: %t, %v", c.pid, c.signal, got, err)
		}
	}
	if got, err := Catches(1<<22+1, syscall.SIGTERM); err == nil {
		t.Errorf("%t of a process that cannot exist", got)
	}
}
