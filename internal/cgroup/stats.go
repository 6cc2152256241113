// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"path"

	"github.com/containerd/cgroups/v3/cgroup1"
	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
)

// Stats reads the counters of all controllers, in the types containerd's Metrics carry:
// *cgroup1/stats.Metrics on Legacy and Hybrid hosts, *cgroup2/stats.Metrics on Unified ones.
// ErrNotFound when the cgroup is gone.
func (c *Cgroup) Stats() (proto.Message, error) {
	var m proto.Message
	var err error
	if c.host.mode == Unified {
		m, err = c.statsV2()
	} else {
		m, err = c.statsV1()
	}
	if err == nil && !c.host.processes().exists(c.path) {
		// The readers take missing files for controllers that are switched off.
		err = fmt.Errorf("no such cgroup: %w", errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("cgroup: statistics of /%s: %w", c.path, err)
	}
	return m, nil
}

func (c *Cgroup) statsV2() (*v2.Metrics, error) {
	m, err := cgroup2.Load("/"+c.path, cgroup2.WithMountpoint(c.host.unified.Mountpoint))
	if err != nil {
		return nil, err
	}
	return m.Stat()
}

// statsV1 asks the controllers one by one: cgroup1.Load would read the mount table each time.
func (c *Cgroup) statsV1() (*v1.Metrics, error) {
	m := &v1.Metrics{CPU: &v1.CPUStat{Throttling: &v1.Throttle{}, Usage: &v1.CPUUsage{}}}
	var errs []error
	read := func(controller string, open func(root string) (statter, error)) {
		h := c.host.v1Of(controller)
		if h == nil {
			return
		}
		// The reader appends the controller's name, so it works where the mount
		// point, or a link beside it, is called so; that is everywhere.
		s, err := open(path.Dir(h.Mountpoint))
		if err == nil {
			err = s.Stat("/"+c.path, m)
		}
		if err != nil && !gone(err) {
			errs = append(errs, err)
		}
	}
	read("cpu", func(root string) (statter, error) { return cgroup1.NewCpu(root), nil })
	read("cpuacct", func(root string) (statter, error) { return cgroup1.NewCpuacct(root), nil })
	read("memory", func(root string) (statter, error) { return cgroup1.NewMemory(root), nil })
	read("pids", func(root string) (statter, error) { return cgroup1.NewPids(root), nil })
	read("blkio", func(root string) (statter, error) { return cgroup1.NewBlkio(root), nil })
	read("hugetlb", func(root string) (statter, error) { return cgroup1.NewHugetlb(root) })
	read("rdma", func(root string) (statter, error) { return cgroup1.NewRdma(root), nil })
	return m, errors.Join(errs...)
}

// statter is a controller of package cgroup1.
type statter interface {
	Stat(path string, m *v1.Metrics) error
}
