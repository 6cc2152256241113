// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"container/list"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/plan"
)

// Compiler compiles profiles and remembers the results. The zero value remembers
// DefaultSize of them. It may be used from several goroutines.
type Compiler struct {
	Size int // programs to keep, DefaultSize when 0

	mu      sync.Mutex // held while compiling, so that one profile is compiled once
	entries map[key]*list.Element
	recent  list.List // of entry, the latest used in front
}

// DefaultSize is how many programs a Compiler keeps: a node has few profiles, and a
// program takes 32 KB at most.
const DefaultSize = 32

type entry struct {
	key    key
	filter *plan.Seccomp
}

// Compile returns the filter for profile, nil when the profile restricts nothing: it
// has no default action and no rules. The result is shared and must not be changed.
// Errors are of class InvalidArgument for a wrong profile, FailedPrecondition when
// this build or kernel cannot do what it asks for.
func (c *Compiler) Compile(profile *specs.LinuxSeccomp) (*plan.Seccomp, error) {
	if profile.DefaultAction == "" && len(profile.Syscalls) == 0 {
		return nil, nil
	}
	k := keyOf(profile)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[k]; ok {
		c.recent.MoveToFront(e)
		return e.Value.(entry).filter, nil
	}
	filter, err := compile(profile)
	if err != nil {
		return nil, err
	}
	c.remember(entry{k, filter})
	return filter, nil
}

// remember makes room and adds e. The caller holds mu.
func (c *Compiler) remember(e entry) {
	size := c.Size
	if size <= 0 {
		size = DefaultSize
	}
	if c.entries == nil {
		c.entries = make(map[key]*list.Element)
	}
	for c.recent.Len() >= size {
		oldest := c.recent.Remove(c.recent.Back()).(entry)
		delete(c.entries, oldest.key)
	}
	c.entries[e.key] = c.recent.PushFront(e)
}

func compile(profile *specs.LinuxSeccomp) (*plan.Seccomp, error) {
	r, err := parse(profile)
	if err != nil {
		return nil, err
	}
	program, limits, err := build(r)
	if err != nil {
		return nil, err
	}
	if r.answersUnknown() {
		program = append(stub(limits), program...)
	}
	const maxInstructions = 4096 // BPF_MAXINSNS
	if len(program) > maxInstructions {
		return nil, invalid("the profile needs %d BPF instructions; the kernel takes %d", len(program), maxInstructions)
	}
	return &plan.Seccomp{Program: encode(program), Flags: r.flags, Notify: r.notify}, nil
}
