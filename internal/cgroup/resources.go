// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Validate reports the first mistake in r, naming the spec's field, as New and Update would.
func (h *Host) Validate(r *specs.LinuxResources) error {
	if _, err := h.translate(r); err != nil {
		return err
	}
	_, err := deviceRules(r)
	return err
}

// translate turns OCI resources, without device rules, into the vocabulary of
// github.com/opencontainers/cgroups. Zero there means "leave as it is".
func (h *Host) translate(r *specs.LinuxResources) (*cgroups.Resources, error) {
	out := &cgroups.Resources{}
	if r == nil {
		return out, nil
	}
	for _, part := range []func(*specs.LinuxResources, *cgroups.Resources) error{
		h.translateMemory, h.translateCPU, h.translateCpuset, h.translatePids,
		h.translateBlockIO, h.translateHugepages, h.translateNetwork, h.translateRdma, h.translateUnified,
	} {
		if err := part(r, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// need checks that the host can limit what field asks for. The controller goes by its v1
// name; on v2 blkio is io, and network priorities do not exist.
func (h *Host) need(field, controller string) error {
	if h.mode == Unified && controller == "blkio" {
		controller = "io"
	}
	if slices.Contains(h.Controllers(), controller) {
		return nil
	}
	return fmt.Errorf("linux.resources.%s: this host (cgroups %s) has no %s controller; enable it or remove the field: %w",
		field, h.mode, controller, errdefs.ErrFailedPrecondition)
}

func invalid(field, format string, args ...any) error {
	return fmt.Errorf("linux.resources.%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

func (h *Host) translatePids(r *specs.LinuxResources, out *cgroups.Resources) error {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil
	}
	limit := *r.Pids.Limit
	if limit < -1 {
		return invalid("pids.limit", "%d is negative; -1 means unlimited", limit)
	}
	if limit == -1 && h.need("pids.limit", "pids") != nil {
		return nil // unlimited it is, without the controller
	}
	out.PidsLimit = &limit // 0 is a limit too (OCI runtime specification, config-linux.md)
	return h.need("pids.limit", "pids")
}

func (h *Host) translateHugepages(r *specs.LinuxResources, out *cgroups.Resources) error {
	if len(r.HugepageLimits) == 0 {
		return nil
	}
	if err := h.need("hugepageLimits", "hugetlb"); err != nil {
		return err
	}
	sizes := cgroups.HugePageSizes()
	for i, l := range r.HugepageLimits {
		if !slices.Contains(sizes, l.Pagesize) {
			return invalid(fmt.Sprintf("hugepageLimits[%d].pageSize", i), "%q is not a page size of this host %v", l.Pagesize, sizes)
		}
		out.HugetlbLimit = append(out.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: l.Pagesize, Limit: l.Limit})
	}
	return nil
}

func (h *Host) translateNetwork(r *specs.LinuxResources, out *cgroups.Resources) error {
	if r.Network == nil {
		return nil
	}
	if id := r.Network.ClassID; id != nil && *id != 0 {
		if err := h.need("network.classID", "net_cls"); err != nil {
			return err
		}
		out.NetClsClassid = *id
	}
	for i, p := range r.Network.Priorities {
		field := fmt.Sprintf("network.priorities[%d]", i)
		if p.Name == "" {
			return invalid(field, "the interface has no name")
		}
		if err := h.need(field, "net_prio"); err != nil {
			return err
		}
		out.NetPrioIfpriomap = append(out.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
	}
	return nil
}

func (h *Host) translateRdma(r *specs.LinuxResources, out *cgroups.Resources) error {
	if len(r.Rdma) == 0 {
		return nil
	}
	if err := h.need("rdma", "rdma"); err != nil {
		return err
	}
	out.Rdma = make(map[string]cgroups.LinuxRdma, len(r.Rdma))
	for device, l := range r.Rdma {
		if device == "" {
			return invalid("rdma", "a device has no name")
		}
		out.Rdma[device] = cgroups.LinuxRdma{HcaHandles: l.HcaHandles, HcaObjects: l.HcaObjects}
	}
	return nil
}

// limits reports whether r holds anything but device rules.
func limits(r *cgroups.Resources) bool {
	return r.Memory != 0 || r.MemoryReservation != 0 || r.MemorySwap != 0 || r.MemorySwappiness != nil || r.OomKillDisable ||
		r.CpuShares != 0 || r.CpuWeight != 0 || r.CpuQuota != 0 || r.CpuPeriod != 0 || r.CpuBurst != nil || r.CPUIdle != nil ||
		r.CpuRtRuntime != 0 || r.CpuRtPeriod != 0 || r.CpusetCpus != "" || r.CpusetMems != "" ||
		r.PidsLimit != nil || blockIO(r) || len(r.HugetlbLimit) > 0 ||
		r.NetClsClassid != 0 || len(r.NetPrioIfpriomap) > 0 || len(r.Rdma) > 0 || len(r.Unified) > 0
}

// translateUnified accepts files of controllers this host has. The files themselves exist
// only in a cgroup, so a misspelt file is the kernel's to refuse, in Create.
func (h *Host) translateUnified(r *specs.LinuxResources, out *cgroups.Resources) error {
	if len(r.Unified) == 0 {
		return nil
	}
	if h.mode != Unified {
		return fmt.Errorf("linux.resources.unified: this host has cgroups in %s mode, and unified needs cgroup v2: %w", h.mode, errdefs.ErrFailedPrecondition)
	}
	for key := range r.Unified {
		if err := h.checkUnified(key); err != nil {
			return err
		}
	}
	out.Unified = maps.Clone(r.Unified)
	return nil
}
