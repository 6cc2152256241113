// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParentOf(t *testing.T) {
	for stat, want := range map[string]int{
		"12 (sh) S 7 12 12 0":          7,
		"12 (a) b) (c) R 9 1 1":        9,
		"12 (new\nline 3) S 4 1":       4,
		"12 (tmux: server) S 1 3 3 0 ": 1,
	} {
		if got, err := parentOf([]byte(stat)); err != nil || got != want {
			t.Errorf("%q: parent %d, %v; want %d", stat, got, err, want)
		}
	}
	for _, stat := range []string{"", "12 sh S 7", "12 (sh) S", "12 (sh) S x"} {
		if got, err := parentOf([]byte(stat)); err == nil {
			t.Errorf("%q: parent %d, want an error", stat, got)
		}
	}
}

func TestHelpers(t *testing.T) {
	// 1 starts a shell 10, which runs the daemon 20. Its children: a helper 21
	// with a child 22, and the container 30 with a process 31 in it. A shim 40,
	// adopted by 1, has the container 41. 50 is somebody else.
	parents := map[int]int{1: 0, 2: 0, 10: 1, 20: 10, 21: 20, 22: 21, 30: 20, 31: 30, 40: 1, 41: 40, 50: 1}
	for _, c := range []struct {
		containers, want []int
	}{
		{nil, []int{21, 22, 30, 31}},
		{[]int{30}, []int{21, 22}},
		{[]int{30, 41}, []int{21, 22, 40}},
		{[]int{30, 41, 99}, []int{21, 22, 40}}, // 99 ended
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
	const text = "MemTotal:       100 kB\nMemAvailable:    42 kB\nVmRSS:\nPss: x kB\n"
	if got, err := findKB(strings.NewReader(text), "MemAvailable"); err != nil || got != 42 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, key := range []string{"Mem", "Missing", "VmRSS", "Pss"} {
		if got, err := findKB(strings.NewReader(text), key); err == nil {
			t.Errorf("%s: got %d, want an error", key, got)
		}
	}
}

func TestTakeOfThisProcess(t *testing.T) {
	s, err := Take(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Available <= 0 || s.DaemonRSS <= 0 || s.Mounts <= 0 || s.Processes <= 0 || s.DaemonFiles < 3 || s.Threads <= 0 {
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
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
	}
	used, err := before.Since()
	if err != nil {
		t.Fatal(err)
	}
	// The clock of /proc/PID/stat ticks every 10 ms; a loaded machine gives less.
	if used.Self < 20*time.Millisecond || used.Daemon < 10*time.Millisecond {
		t.Errorf("busy for 100 ms, counted %s and %s", used.Self, used.Daemon)
	}
}
