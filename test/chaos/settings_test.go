// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// settings are what the environment says, see doc.go.
type settings struct {
	seed    uint64
	time    time.Duration
	rounds  int
	workers int
	keep    string
	without map[string]bool
}

// What may be left out, to look at the rest.
const (
	terminals  = "terminals"   // programs on a terminal
	created    = "created"     // a task that is created and not started goes on
	lateOutput = "late-output" // what is printed before an end while no daemon runs is in the log
	executions = "executions"  // what ExecSync runs is killed with its daemon
	rotation   = "rotation"    // logs are rotated
	tasks      = "tasks"       // containers of containerd's API
	pods       = "pods"        // pods of CRI
	bridge     = "bridge"      // pods with a network of their own
	attaching  = "attach"
)

var parts = []string{terminals, created, lateOutput, executions, rotation, tasks, pods, bridge, attaching}

func readSettings(t *testing.T) *settings {
	t.Helper()
	s := &settings{
		seed: uint64(time.Now().UnixNano()), time: 40 * time.Second, rounds: 1, workers: 6,
		keep: filepath.Join(os.TempDir(), "sardine-chaos"), without: map[string]bool{},
	}
	var err error
	for name, read := range map[string]func(string){
		"SEED":    func(v string) { s.seed, err = strconv.ParseUint(v, 10, 64) },
		"TIME":    func(v string) { s.time, err = time.ParseDuration(v) },
		"ROUNDS":  func(v string) { s.rounds, err = strconv.Atoi(v) },
		"WORKERS": func(v string) { s.workers, err = strconv.Atoi(v) },
		"KEEP":    func(v string) { s.keep = v },
		"WITHOUT": func(v string) { s.leaveOut(t, v) },
	} {
		value := os.Getenv("SARDINE_CHAOS_" + name)
		if value == "" {
			continue
		}
		if read(value); err != nil {
			t.Fatalf("SARDINE_CHAOS_%s: %v", name, err)
		}
	}
	return s
}

func (s *settings) leaveOut(t *testing.T, list string) {
	t.Helper()
	for name := range strings.SplitSeq(list, ",") {
		known := false
		for _, part := range parts {
			known = known || part == name
		}
		if !known {
			t.Fatalf("SARDINE_CHAOS_WITHOUT: %q is none of %q", name, parts)
		}
		s.without[name] = true
	}
}

func (s *settings) with(part string) bool { return !s.without[part] }
