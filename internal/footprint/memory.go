// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
)

// Memory says what the node's memory is used for, in KB: lines of /proc/meminfo.
// Not all of it is in MemAvailable's way: the kernel takes back most of
// Reclaimable when somebody needs memory, and that counts as available.
type Memory struct {
	Available     int64 `json:"availableKB"`
	Anonymous     int64 `json:"anonymousKB"`     // of processes: heaps and stacks
	Shmem         int64 `json:"shmemKB"`         // tmpfs
	Reclaimable   int64 `json:"reclaimableKB"`   // slab: dentries, inodes
	Unreclaimable int64 `json:"unreclaimableKB"` // slab: everything else
	PageTables    int64 `json:"pageTablesKB"`
	KernelStacks  int64 `json:"kernelStacksKB"`
	PerCPU        int64 `json:"perCPUKB"`
}

// fields maps the names of /proc/meminfo to what they are read into.
func (m *Memory) fields() map[string]*int64 {
	return map[string]*int64{
		"MemAvailable": &m.Available,
		"AnonPages":    &m.Anonymous,
		"Shmem":        &m.Shmem,
		"SReclaimable": &m.Reclaimable,
		"SUnreclaim":   &m.Unreclaimable,
		"PageTables":   &m.PageTables,
		"KernelStack":  &m.KernelStacks,
		"Percpu":       &m.PerCPU,
	}
}

func readMemory() (Memory, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return Memory{}, err
	}
	defer file.Close()
	return parseMemory(file)
}

// parseMemory reads /proc/meminfo. Percpu is there since Linux 4.20, all others
// since 3.14; what is not there stays zero, but for MemAvailable.
func parseMemory(r io.Reader) (Memory, error) {
	var m Memory
	fields := m.fields()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		name, rest, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		into, wanted := fields[string(name)]
		value := bytes.Fields(rest)
		if !wanted || len(value) == 0 {
			continue
		}
		kb, err := strconv.ParseInt(string(value[0]), 10, 64)
		if err != nil {
			return m, err
		}
		*into = kb
	}
	if m.Available == 0 {
		return m, errNoAvailable
	}
	return m, nil
}
