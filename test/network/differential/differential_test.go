// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// atOnce is how many worlds there are at a time. Mostly they wait for the kernel.
const atOnce = 6

// TestDifferential runs every row in its worlds and compares them.
func TestDifferential(t *testing.T) {
	testnode.NeedRoot(t)
	for _, plugin := range []string{"bridge", "ptp", "macvlan", "loopback", "host-local", "portmap", "firewall", "bandwidth", "tuning"} {
		e2e.Program(t, plugin)
	}
	c := &comparison{programs: filepath.Dir(e2e.Program(t, "bridge")), places: make(chan struct{}, atOnce)}
	t.Cleanup(func() { c.report(t) })
	for _, r := range rows() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			c.compare(t, r)
		})
	}
}

// comparison is of all rows.
type comparison struct {
	programs string
	places   chan struct{}

	mu    sync.Mutex
	table []string
	used  map[int]bool // reviewed differences that were found
}

// compare runs a row in all its worlds.
func (c *comparison) compare(t *testing.T, r row) {
	modes := []mode{alone, ours, crossed}
	switch {
	case r.Takeover:
		modes = []mode{alone, takeover}
	case r.Alone:
		modes = modes[:2]
	}
	lives := make([][]step, len(modes))
	errs := make([]error, len(modes))
	var wg sync.WaitGroup
	for i, m := range modes {
		wg.Go(func() { lives[i], errs[i] = c.world(r, m) })
	}
	wg.Wait()
	for i, m := range modes {
		if errs[i] != nil {
			t.Errorf("%s: %v", m, errs[i])
		}
	}
	if t.Failed() {
		return
	}
	for i, m := range modes[1:] {
		c.differ(t, &r, m, lives[0], lives[i+1])
	}
	c.add(&r, modes, lives[0])
}

// world has a row lived through in a process of its own.
func (c *comparison) world(r row, m mode) (steps []step, err error) {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	text, err := json.Marshal(order{r, c.programs, m})
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), worldVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	kernel.OnThread(func() { err = cmd.Run() }) // the signal comes when the thread ends
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return steps, json.Unmarshal(stdout.Bytes(), &steps)
}

// differ fails for each part of each step that is not the same, nor reviewed.
func (c *comparison) differ(t *testing.T, r *row, m mode, want, got []step) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d steps, the reference's are %d", m, len(got), len(want))
	}
	failed := slices.ContainsFunc(want, func(s step) bool {
		return strings.HasPrefix(s.Name, "ADD") && strings.HasPrefix(s.Parts["outcome"], "error")
	})
	for i := range want {
		for kind, wanted := range want[i].Parts {
			found := got[i].Parts[kind]
			if kind == "sysctls" {
				wanted, found = withoutIPv6(wanted, found)
			}
			if wanted == found || c.reviewed(r, failed, want[i].Name, kind, wanted, found) {
				continue
			}
			t.Errorf("%s, %s, %s (- the reference's, + this):\n%s", m, want[i].Name, kind, difference(wanted, found))
		}
	}
}

// mostLines is how many lines of a difference are shown.
const mostLines = 12

// difference has the lines that only one of the texts has.
func difference(want, got string) string {
	var out []string
	for _, side := range []struct{ sign, text, other string }{{"-", want, got}, {"+", got, want}} {
		rest := map[string]int{}
		for l := range strings.Lines(side.other) {
			rest[l]++
		}
		for l := range strings.Lines(side.text) {
			if rest[l]--; rest[l] < 0 {
				out = append(out, "  "+side.sign+" "+strings.TrimRight(l, "\n"))
			}
		}
	}
	if len(out) == 0 {
		return "  only the order differs:\n" + want + "--\n" + got
	}
	if len(out) > mostLines {
		out = append(out[:mostLines], fmt.Sprintf("  and %d more", len(out)-mostLines))
	}
	return strings.Join(out, "\n")
}

// add counts what was compared.
func (c *comparison) add(r *row, modes []mode, steps []step) {
	sizes := map[string]int{}
	failed := 0
	for _, s := range steps {
		for kind, text := range s.Parts {
			sizes[kind] += strings.Count(text, "\n")
		}
		if strings.HasPrefix(s.Parts["outcome"], "error") {
			failed++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table = append(c.table, fmt.Sprintf("%-44s %d worlds, %2d steps (%d fail), lines: %d interfaces and addresses, %d routes, %d sysctls, %d rules, %d of tc, %d files",
		r.Name, len(modes), len(steps), failed, sizes["links"]+sizes["addresses"], sizes["routes"]+sizes["policy"], sizes["sysctls"], sizes["filter"],
		sizes["tc"], sizes["files"]))
}

// report prints the table, and fails for reviewed differences that there are not any more.
func (c *comparison) report(t *testing.T) {
	t.Logf("compared:\n%s", strings.Join(c.table, "\n"))
	if t.Failed() || len(c.table) < len(rows()) {
		return
	}
	for i, d := range differences {
		if !c.used[i] && !d.sometimes {
			t.Errorf("there is no such difference any more: %s", d.why)
		}
	}
}
