// SPDX-License-Identifier: Apache-2.0

package top

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	cpus, busy, total, err := parseStat([]byte("cpu  100 1 20 1000 30 2 3 4 50 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n"))
	if err != nil || cpus != 2 || busy != 130*tick || total != 1160*tick {
		t.Errorf("%d CPUs, %v of %v, %v", cpus, busy, total, err)
	}
	for _, text := range []string{"", "cpu 1 x\ncpu0 1\n", "cpu 1 2\n", "cpu0 1\n"} {
		if _, _, _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestParseMeminfo(t *testing.T) {
	total, available, err := parseMeminfo([]byte("MemTotal:    100 kB\nMemFree: 7 kB\nMemAvailable:   40 kB\n"))
	if err != nil || total != 100<<10 || available != 40<<10 {
		t.Errorf("%d, %d, %v", total, available, err)
	}
	for _, text := range []string{"", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n"} {
		if _, _, err := parseMeminfo([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestSampleNode(t *testing.T) {
	n, err := sampleNode()
	if err != nil || n.cpus < 1 || n.busy <= 0 || n.total <= n.busy || n.available <= 0 || n.memoryTotal <= n.available {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestSampleProcess(t *testing.T) {
	us, err := sampleProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if us.descriptors == nil || *us.descriptors < 3 || us.threads < 1 || us.resident < 1<<20 || us.age < 0 || us.age > time.Hour {
		t.Errorf("%+v", us)
	}
	// It looks through all processes, of which none is a holder of ours.
	if h := (&holders{}).of(us); h != nil {
		t.Errorf("holder %+v", h)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if p, err := sampleProcess(gone.Process.Pid); err == nil {
		t.Errorf("of a process that has ended: %+v", p)
	}
}
