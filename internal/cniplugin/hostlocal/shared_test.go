// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	current "github.com/containernetworking/cni/pkg/types/100"
)

// board notes who has which address.
type board struct {
	mu    sync.Mutex
	taken map[string]string
	errs  []error
}

func (b *board) add(result, id string) {
	var r current.Result
	err := json.Unmarshal([]byte(result), &r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.errs = append(b.errs, err)
	}
	for _, ip := range r.IPs {
		name := ip.Address.IP.String()
		if other, ok := b.taken[name]; ok {
			b.errs = append(b.errs, fmt.Errorf("%s was given to %s and %s", name, other, id))
		}
		b.taken[name] = id
	}
}

func (b *board) remove(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, owner := range b.taken {
		if owner == id {
			delete(b.taken, name)
		}
	}
}

func (b *board) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errs = append(b.errs, err)
}

// TestSharedWithTheReference has two of our plugins, as before and after a restart, and programs work in one directory.
func TestSharedWithTheReference(t *testing.T) {
	dir := t.TempDir()
	theirs := reference(t, dir)
	one, two := inside(dir, New()), inside(dir, New())
	conf := `{"cniVersion":"1.0.0","name":"net","type":"bridge","ipam":{"type":"host-local","dataDir":"DIR",
		"ranges":[[{"subnet":"10.1.2.0/27"}],[{"subnet":"2001:db8::/64"}]]}}`
	b := &board{taken: map[string]string{}}
	var all sync.WaitGroup
	for i := range 12 {
		r, cycles := one, 60
		switch {
		case i >= 8:
			r, cycles = theirs, 12
		case i >= 4:
			r = two
		}
		all.Go(func() {
			for n := range cycles {
				lifecycle(t, b, r, r, fmt.Sprintf("pod-%d-%d", i, n), conf)
			}
		})
	}
	all.Wait()
	for _, err := range b.errs {
		t.Error(err)
	}
	if left := leases(t, one.network()); len(left) != 0 {
		t.Errorf("leaked: %v", left)
	}
}

// lifecycle is ADD by one and DEL by another. The board is told before an address is free, and after it is taken.
func lifecycle(t *testing.T, b *board, add, del runner, id, conf string) {
	result, err := add.run(t, call{verb: "ADD", id: id, conf: conf})
	if err != nil {
		b.fail(err)
		return
	}
	b.add(result, id)
	if _, err := add.run(t, call{verb: "CHECK", id: id, conf: conf}); err != nil {
		b.fail(fmt.Errorf("check %s: %w", id, err))
	}
	b.remove(id)
	if _, err := del.run(t, call{verb: "DEL", id: id, conf: conf}); err != nil {
		b.fail(err)
	}
}

// TestEachReleasesTheOthers has leases made by one and given up by the other.
func TestEachReleasesTheOthers(t *testing.T) {
	dir := t.TempDir()
	theirs, ours := reference(t, dir), inside(dir, New())
	b := &board{taken: map[string]string{}}
	for i := range 10 {
		lifecycle(t, b, ours, theirs, fmt.Sprintf("ours-%d", i), simple("10.1.2.0/29"))
		lifecycle(t, b, theirs, ours, fmt.Sprintf("theirs-%d", i), simple("10.1.2.0/29"))
	}
	if len(b.errs) > 0 {
		t.Error(b.errs)
	}
	if left := leases(t, ours.network()); len(left) != 0 {
		t.Errorf("leaked: %v", left)
	}
}

// TestAThousandWithKills does ADD, DEL and CHECK in random order, by both, some programs being killed and our plugin
// made anew in between. In the end everything is given up: nothing may be left, also not what nobody owns.
func TestAThousandWithKills(t *testing.T) {
	dir := t.TempDir()
	theirs := reference(t, dir)
	ours := inside(dir, New())
	conf := strings.Replace(simple("10.1.2.0/26"), "1.0.0", "1.1.0", 1)
	random := rand.New(rand.NewPCG(6, 6))
	attached := map[string]string{} // by container; "?" when a kill leaves it open
	for i := range 1000 {
		id := fmt.Sprintf("pod%d", random.IntN(40))
		verb := [...]string{"ADD", "ADD", "DEL", "CHECK"}[random.IntN(4)]
		c := call{verb: verb, id: id, conf: conf}
		switch random.IntN(25) {
		case 0:
			killed(t, dir, c, time.Duration(random.IntN(6000))*time.Microsecond)
			if verb != "CHECK" {
				attached[id] = "?"
			}
		case 1:
			step(t, theirs, c, attached)
		case 2:
			ours = inside(dir, New())
			step(t, ours, c, attached)
		default:
			step(t, ours, c, attached)
		}
		if t.Failed() {
			t.Fatalf("step %d: %s %s", i, verb, id)
		}
	}
	for id := range attached {
		if _, err := ours.run(t, call{verb: "DEL", id: id, conf: conf}); err != nil {
			t.Error(err)
		}
	}
	if _, err := ours.run(t, call{verb: "GC", conf: conf}); err != nil {
		t.Error(err)
	}
	if left := leases(t, ours.network()); len(left) != 0 {
		t.Errorf("leaked: %v\n%s", left, files(t, ours.network()))
	}
}

// step does a call and compares what comes of it with what must.
func step(t *testing.T, r runner, c call, attached map[string]string) {
	t.Helper()
	before := attached[c.id]
	result, err := r.run(t, c)
	switch c.verb {
	case "ADD":
		if before == "" && err != nil || before != "" && before != "?" && err == nil {
			t.Errorf("had %q, now %s, %v", before, result, err)
		}
		if err != nil {
			return
		}
		got := addressOf(t, result)
		for id, other := range attached {
			if other == got {
				t.Errorf("%s has %s already", id, got)
			}
		}
		attached[c.id] = got
	case "DEL":
		if err != nil {
			t.Error(err)
		}
		delete(attached, c.id)
	case "CHECK":
		if before == "" && err == nil || before != "" && before != "?" && err != nil {
			t.Errorf("had %q: %v", before, err)
		}
	}
}

// killed runs the program and ends it after a while.
func killed(t *testing.T, dir string, c call, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env, cmd.Stdin = c.environ(), strings.NewReader(strings.ReplaceAll(c.conf, "DIR", dir))
	if err := cmd.Start(); errors.Is(err, context.DeadlineExceeded) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // whether it was killed in time does not matter
}
