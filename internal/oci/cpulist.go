// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxCPUs is the largest NR_CPUS a kernel is built with.
const maxCPUs = 8192

// parseCPUList turns "0-3,7" (cpuset(7), "List format") into the mask of
// sched_setaffinity(2), little endian. An empty list is nil.
func parseCPUList(field, list string) ([]byte, error) {
	list = strings.TrimSpace(list)
	if list == "" {
		return nil, nil
	}
	var mask []byte
	for part := range strings.SplitSeq(list, ",") {
		first, last, err := parseCPURange(part)
		if err != nil {
			return nil, invalid("%s: %q in %q is not a cpu or a range of cpus below %d", field, part, list, maxCPUs)
		}
		for cpu := first; cpu <= last; cpu++ {
			for len(mask) <= cpu/8 {
				mask = append(mask, make([]byte, 8)...) // the kernel wants whole words
			}
			mask[cpu/8] |= 1 << (cpu % 8)
		}
	}
	return mask, nil
}

func parseCPURange(s string) (first, last int, err error) {
	from, to, ranged := strings.Cut(strings.TrimSpace(s), "-")
	if first, err = strconv.Atoi(from); err != nil {
		return 0, 0, err
	}
	last = first
	if ranged {
		if last, err = strconv.Atoi(to); err != nil {
			return 0, 0, err
		}
	}
	if first < 0 || first > last || last >= maxCPUs {
		return 0, 0, strconv.ErrRange
	}
	return first, last, nil
}

// execAffinity is the mask of a further process. It is born in the container's cgroup,
// so there is no time between the initial and the final mask: the final one counts.
func execAffinity(a *specs.CPUAffinity) ([]byte, error) {
	if a == nil {
		return nil, nil
	}
	initial, err := parseCPUList("process.execCPUAffinity.initial", a.Initial)
	if err != nil {
		return nil, err
	}
	final, err := parseCPUList("process.execCPUAffinity.final", a.Final)
	if err != nil {
		return nil, err
	}
	if final == nil {
		return initial, nil
	}
	return final, nil
}
