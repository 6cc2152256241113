// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// resources sets the limits; 0 and "" mean that there is none.
func (t *translation) resources() error {
	r := t.config.GetLinux().GetResources()
	if r == nil {
		return nil
	}
	return t.setResources(t.spec.Linux.Resources, r)
}

// oomScoreAdj is set wherever resources are given: 0 is a value.
func (t *translation) oomScoreAdj() error {
	r := t.config.GetLinux().GetResources()
	if r == nil {
		return nil
	}
	score := t.OOMScoreAdj(r)
	t.spec.Process.OOMScoreAdj = &score
	return nil
}

// OOMScoreAdj is the score that r asks for, or the daemon's if that is the least bad one allowed.
func (t *Translator) OOMScoreAdj(r *runtime.LinuxContainerResources) int {
	score := int(r.GetOomScoreAdj())
	if t.node.RestrictOOMScoreAdj {
		score = max(score, t.node.OOMScoreAdj)
	}
	return score
}

// UpdateResources are the limits after UpdateContainerResources: those of r where it has
// any, else the current ones, which are not changed. The OOM score of a running container
// stays what it is, as with containerd. Errors are of class InvalidArgument, or
// FailedPrecondition for a missing controller.
func (t *Translator) UpdateResources(current *specs.LinuxResources, r *runtime.LinuxContainerResources) (*specs.LinuxResources, error) {
	if err := checkResources("linux", r); err != nil {
		return nil, err
	}
	updated := &specs.LinuxResources{}
	if current != nil {
		updated = deepCopy(current)
	}
	if r == nil {
		return updated, nil
	}
	if err := t.setResources(updated, r); err != nil {
		return nil, err
	}
	return updated, nil
}

// setResources applies what r has to out, which is changed.
func (t *Translator) setResources(out *specs.LinuxResources, r *runtime.LinuxContainerResources) error {
	setCPU(out, r)
	if err := t.setMemory(out, r); err != nil {
		return err
	}
	if err := t.setHugepages(out, r.GetHugepageLimits()); err != nil {
		return err
	}
	if len(r.GetUnified()) > 0 {
		if out.Unified == nil {
			out.Unified = map[string]string{}
		}
		maps.Copy(out.Unified, r.GetUnified())
	}
	return nil
}

func setCPU(out *specs.LinuxResources, r *runtime.LinuxContainerResources) {
	if out.CPU == nil {
		out.CPU = &specs.LinuxCPU{}
	}
	c := out.CPU
	if v := uint64(r.GetCpuPeriod()); v != 0 {
		c.Period = &v
	}
	if v := r.GetCpuQuota(); v != 0 {
		c.Quota = &v
	}
	if v := uint64(r.GetCpuShares()); v != 0 {
		c.Shares = &v
	}
	if v := r.GetCpusetCpus(); v != "" {
		c.Cpus = v
	}
	if v := r.GetCpusetMems(); v != "" {
		c.Mems = v
	}
}

// setMemory: swap counts memory and swap together. Without a wish it equals the memory limit,
// so that nothing is swapped.
func (t *Translator) setMemory(out *specs.LinuxResources, r *runtime.LinuxContainerResources) error {
	if out.Memory == nil {
		out.Memory = &specs.LinuxMemory{}
	}
	m, swap := out.Memory, r.GetMemorySwapLimitInBytes()
	if limit := r.GetMemoryLimitInBytes(); limit != 0 {
		m.Limit = &limit
		if swap == 0 {
			swap = limit
		}
	}
	if swap == 0 || !t.node.Swap {
		return nil
	}
	m.Swap = &swap
	limit := int64(0)
	if m.Limit != nil {
		limit = *m.Limit
	}
	if swap > 0 && limit <= 0 {
		return invalid("memory_swap_limit_in_bytes: %d needs a memory limit", swap)
	}
	if swap > 0 && swap < limit {
		return invalid("memory_swap_limit_in_bytes: %d is less than the memory limit %d, which it includes", swap, limit)
	}
	return nil
}

func (t *Translator) setHugepages(out *specs.LinuxResources, limits []*runtime.HugepageLimit) error {
	if len(limits) == 0 || t.node.DisableHugetlb {
		return nil
	}
	if !t.node.Hugetlb {
		if t.node.TolerateMissingHugetlb {
			return nil
		}
		return unready("hugepage_limits: huge pages limits are specified but hugetlb cgroup controller is missing. " +
			"Please set tolerate_missing_hugetlb_controller to `true` to ignore this error")
	}
	for _, l := range limits {
		limit := specs.LinuxHugepageLimit{Pagesize: l.GetPageSize(), Limit: l.GetLimit()}
		same := func(have specs.LinuxHugepageLimit) bool { return have.Pagesize == limit.Pagesize }
		if i := slices.IndexFunc(out.HugepageLimits, same); i >= 0 {
			out.HugepageLimits[i] = limit
			continue
		}
		out.HugepageLimits = append(out.HugepageLimits, limit)
	}
	return nil
}

// checkResources refuses what the kernel would refuse when the container is half made.
func checkResources(field string, r *runtime.LinuxContainerResources) error {
	if err := checkCPU(field, r); err != nil {
		return err
	}
	for _, v := range []struct {
		name  string
		value int64
	}{{"memory_limit_in_bytes", r.GetMemoryLimitInBytes()}, {"memory_swap_limit_in_bytes", r.GetMemorySwapLimitInBytes()}} {
		if v.value < -1 { // -1 is no limit
			return invalid("%s.%s: %d is negative", field, v.name, v.value)
		}
	}
	if s := r.GetOomScoreAdj(); s < -1000 || s > 1000 {
		return invalid("%s.oom_score_adj: %d is not between -1000 and 1000", field, s)
	}
	for _, l := range r.GetHugepageLimits() {
		if err := checkPageSize(field+".hugepage_limits", l.GetPageSize()); err != nil {
			return err
		}
	}
	return checkUnified(field+".unified", r.GetUnified())
}

// checkCPU: the bounds are those of sched-bwc.rst, in microseconds.
func checkCPU(field string, r *runtime.LinuxContainerResources) error {
	const least, most = 1000, 1000000
	if p := r.GetCpuPeriod(); p != 0 && (p < least || p > most) {
		return invalid("%s.cpu_period: %d is not between %d and %d microseconds", field, p, least, most)
	}
	if q := r.GetCpuQuota(); q < -1 || q > 0 && q < least { // -1 is no limit
		return invalid("%s.cpu_quota: %d is not -1 or at least %d microseconds", field, q, least)
	}
	if s := r.GetCpuShares(); s < 0 {
		return invalid("%s.cpu_shares: %d is negative", field, s)
	}
	if err := checkList(field+".cpuset_cpus", r.GetCpusetCpus()); err != nil {
		return err
	}
	return checkList(field+".cpuset_mems", r.GetCpusetMems())
}

// checkList is for "0-3,7": the list format of cpuset(7).
func checkList(field, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxLine {
		return invalid("%s: %d bytes, at most %d are taken", field, len(s), maxLine)
	}
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || a > b {
			return invalid("%s: %s is not a list of numbers and ranges", field, quoted(s))
		}
	}
	return nil
}

// pageSize becomes part of a file's name: "2MB".
var pageSize = regexp.MustCompile(`^[1-9][0-9]{0,3}[KMG]B$`)

func checkPageSize(field, s string) error {
	if !pageSize.MatchString(s) {
		return invalid("%s: page size %s is not a number and KB, MB or GB", field, quoted(s))
	}
	return nil
}

// checkUnified: the keys are names of files in a cgroup.
func checkUnified(field string, m map[string]string) error {
	for k, v := range m {
		if k == "" || !strings.Contains(k, ".") {
			return invalid("%s: %s is not the name of a cgroup file", field, quoted(k))
		}
		if err := checkName(field, k); err != nil {
			return err
		}
		if err := checkText(field+": "+k, v, maxLine); err != nil {
			return err
		}
	}
	return nil
}

// StatusResources are the limits of a spec as ContainerStatus tells them.
func StatusResources(s *specs.Spec) *runtime.ContainerResources {
	l := &runtime.LinuxContainerResources{}
	if s.Process != nil && s.Process.OOMScoreAdj != nil {
		l.OomScoreAdj = int64(*s.Process.OOMScoreAdj)
	}
	out := &runtime.ContainerResources{Linux: l}
	if s.Linux == nil || s.Linux.Resources == nil {
		return out
	}
	r := s.Linux.Resources
	if c := r.CPU; c != nil {
		l.CpuPeriod, l.CpuQuota, l.CpuShares = int64(orZero(c.Period)), orZero(c.Quota), int64(orZero(c.Shares))
		l.CpusetCpus, l.CpusetMems = c.Cpus, c.Mems
	}
	if m := r.Memory; m != nil {
		l.MemoryLimitInBytes, l.MemorySwapLimitInBytes = orZero(m.Limit), orZero(m.Swap)
	}
	for _, h := range r.HugepageLimits {
		l.HugepageLimits = append(l.HugepageLimits, &runtime.HugepageLimit{PageSize: h.Pagesize, Limit: h.Limit})
	}
	l.Unified = maps.Clone(r.Unified)
	return out
}

func orZero[T int64 | uint64](p *T) T {
	if p == nil {
		return 0
	}
	return *p
}
