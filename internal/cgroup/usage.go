// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups/systemd"
)

// NoLimit is the value of a limit that is not set.
const NoLimit = math.MaxUint64

// Detail says how much Usage reads. Each file costs about 3 µs.
type Detail uint8

const (
	// Summary fills the fields that are not marked with "Details".
	Summary Detail = iota
	// Details fills all fields.
	Details
)

// Usage is what the processes of a cgroup, sub-cgroups included, use and have used. What the
// kernel does not account for is nil.
type Usage struct {
	At     time.Time // when it was read
	CPU    *CPUUsage
	Memory *MemoryUsage
	Tasks  *TaskUsage
	IO     *IOUsage
}

// CPUUsage is time spent on processors, all of them added up.
type CPUUsage struct {
	Total time.Duration
	// Details.
	User, System     time.Duration
	Periods          uint64 // of the CFS quota
	ThrottledPeriods uint64
	Throttled        time.Duration

	Pressure *Pressure
}

// MemoryUsage is in bytes, except for counters.
type MemoryUsage struct {
	Usage, Limit                     uint64
	InactiveFile, ActiveFile         uint64
	Anon                             uint64 // resident anonymous memory, "rss" in v1
	File, MappedFile, Kernel         uint64
	SwapUsage, SwapLimit             uint64 // SwapLimit is for swap alone, in v1 too
	SwapAccounted                    bool
	PageFaults, MajorFaults          uint64 // with sub-cgroups
	OwnPageFaults, OwnMajorFaults    uint64 // v1: without them
	MaxUsage, LimitHits, OOMKillings uint64 // Details. LimitHits: v1 only

	Pressure *Pressure
}

// WorkingSet is memory that cannot be reclaimed easily: all but inactive files, as cAdvisor
// and with it Kubernetes define it.
func (m *MemoryUsage) WorkingSet() uint64 {
	if m.InactiveFile > m.Usage {
		return 0
	}
	return m.Usage - m.InactiveFile
}

// TaskUsage counts threads.
type TaskUsage struct {
	Current, Limit uint64
}

// IOUsage is what block devices did for the cgroup.
type IOUsage struct {
	Devices  []DeviceUsage // Details
	Pressure *Pressure
}

// DeviceUsage of one block device.
type DeviceUsage struct {
	Major, Minor          uint32
	ReadBytes, WriteBytes uint64
	Reads, Writes         uint64
}

// Pressure is time that tasks waited for a resource, of the unified hierarchy (Linux 4.20,
// Documentation/accounting/psi.rst).
type Pressure struct {
	Some, Full Stall
}

// Stall is the time in which some or all tasks waited: averages in percent over 10, 60 and 300 s.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                time.Duration
}

// Usage reads the counters of the container. ErrNotFound when the cgroup is gone. It reads a
// third of the files that Stats does.
func (c *Cgroup) Usage(d Detail) (*Usage, error) {
	return c.host.usage(c.path, d)
}

// Usage reads the counters of any cgroup: its path below the mount points, or with the systemd
// driver the name of a slice. ErrNotFound when there is none.
func (h *Host) Usage(cgroup string, d Detail) (*Usage, error) {
	rel := cgroup
	if strings.HasSuffix(cgroup, ".slice") && !strings.Contains(cgroup, "/") {
		expanded, err := systemd.ExpandSlice(cgroup)
		if err != nil {
			return nil, fmt.Errorf("cgroup: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		rel = expanded
	}
	rel, err := cleanPath(Config{Path: "/" + rel})
	if err != nil {
		return nil, err
	}
	return h.usage(rel, d)
}

func (h *Host) usage(rel string, d Detail) (*Usage, error) {
	u := &Usage{At: time.Now()}
	r := newCounterReader()
	defer r.release()
	if h.mode == Unified {
		h.usageV2(r, rel, d, u)
	} else {
		h.usageV1(r, rel, d, u)
	}
	if r.err == nil && r.found == 0 {
		r.err = fmt.Errorf("no such cgroup: %w", errdefs.ErrNotFound)
	}
	if r.err != nil {
		return nil, fmt.Errorf("cgroup: usage of /%s: %w", rel, r.err)
	}
	return u, nil
}
