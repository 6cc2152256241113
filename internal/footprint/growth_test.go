// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// hogVariable makes this test binary a process that has 16 MB until its input
// ends.
const hogVariable = "FOOTPRINT_TEST_HOG"

func TestMain(m *testing.M) {
	if os.Getenv(hogVariable) == "" {
		os.Exit(m.Run())
	}
	memory := bytes.Repeat([]byte{1}, 16<<20)
	_, _ = os.Stdout.Write(memory[:1])
	_, _ = os.Stdin.Read(memory)
}

func TestGrowthLeavesOthersOut(t *testing.T) {
	before := Sample{Memory: Memory{Available: 9000, Anonymous: 1000, Shmem: 10}, Others: 900}
	after := Sample{Memory: Memory{Available: 7000, Anonymous: 2500, Shmem: 30}, Others: 1900}
	growth := GrowthOf(before, after, 10)
	if growth.Node != 100 {
		t.Errorf("%g KB each, want 100 of 2000 KB of which 1000 are others'", growth.Node)
	}
	kinds := map[string]float64{}
	for _, kind := range growth.Kinds {
		kinds[kind.Name] = kind.KB
	}
	if kinds["anonymous"] != 50 || kinds["tmpfs"] != 2 || kinds["per CPU"] != 0 {
		t.Errorf("%v", kinds)
	}
	if none := GrowthOf(before, after, 0); none.Node != 0 {
		t.Errorf("for nothing: %+v", none)
	}
}

// TestOthersAreEverybodyElse: memory that a process takes is the others' until
// that process is one of those that are measured.
func TestOthersAreEverybodyElse(t *testing.T) {
	const kb = 16 << 10
	hog := exec.Command(os.Args[0])
	hog.Env = append(os.Environ(), hogVariable+"=1")
	hog.Stderr = os.Stderr
	out, err := hog.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := hog.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hog.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = hog.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	// The node's own figure changes meanwhile, but not by as much.
	as, err := Take(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	with, err := Take(0, []int{hog.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	if took := anonymous(hog.Process.Pid); took < kb {
		t.Errorf("a process with %d KB has %d", kb, took)
	}
	if as.Others != as.Anonymous || with.Others > with.Anonymous-kb {
		t.Errorf("without: %d of %d are others'; with: %d of %d", as.Others, as.Anonymous, with.Others, with.Anonymous)
	}
}
