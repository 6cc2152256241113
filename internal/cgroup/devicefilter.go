// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"
)

// filterCache keeps the device filters of cgroup v2 in use, by their rules: the containers
// of a node have a handful of policies, the verifier takes 0.3 ms and some KB for each
// program loaded, and attaching one to another cgroup takes 10 µs and nothing.
type filterCache struct {
	mu       sync.RWMutex // read-held while a program is attached, so that it is not closed
	programs map[string]*ebpf.Program
}

// filterCacheSize bounds the cache against containers with a policy of their own each.
const filterCacheSize = 64

// install gives the new cgroup rel the filter for r.Devices.
func (f *filterCache) install(h *hierarchy, rel string, r *cgroups.Resources) error {
	fd, err := h.open(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	key := rulesKey(r.Devices)
	if attached, err := f.attach(key, fd); attached || err != nil {
		return err
	}
	if err := cgroups.DevicesSetV2(h.path(rel), r); err != nil {
		return err
	}
	if program := attachedFilter(fd); program != nil {
		f.keep(key, program)
	}
	return nil
}

func (f *filterCache) attach(key string, cgroup int) (found bool, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	program := f.programs[key]
	if program == nil {
		return false, nil
	}
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: cgroup, Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	})
	if err != nil {
		return false, fmt.Errorf("attach the device filter: %w", err)
	}
	return true, nil
}

// attachedFilter returns the one filter of a cgroup. The devices package keeps the program
// to itself, and on some kernels, where a security module forbids it,
// it cannot be had: then it is simply not cached.
func attachedFilter(cgroup int) *ebpf.Program {
	result, err := link.QueryPrograms(link.QueryOptions{Target: cgroup, Attach: ebpf.AttachCGroupDevice})
	if err != nil || len(result.Programs) != 1 {
		return nil
	}
	program, err := ebpf.NewProgramFromID(result.Programs[0].ID)
	if err != nil {
		return nil
	}
	return program
}

func (f *filterCache) keep(key string, program *ebpf.Program) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.programs) >= filterCacheSize {
		f.closeAll()
	}
	if f.programs == nil {
		f.programs = map[string]*ebpf.Program{}
	}
	if old := f.programs[key]; old != nil {
		_ = old.Close()
	}
	f.programs[key] = program
}

// closeAll empties the cache. Held: f.mu. Cgroups keep the programs attached to them.
func (f *filterCache) closeAll() {
	for _, program := range f.programs {
		_ = program.Close()
	}
	clear(f.programs)
}

func (f *filterCache) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeAll()
}

func rulesKey(rules []*config.Rule) string {
	var key strings.Builder
	for _, rule := range rules {
		if rule.Allow {
			key.WriteByte('+')
		} else {
			key.WriteByte('-')
		}
		key.WriteString(rule.CgroupString())
	}
	return key.String()
}
