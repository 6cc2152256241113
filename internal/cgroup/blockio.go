// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func (h *Host) translateBlockIO(r *specs.LinuxResources, out *cgroups.Resources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	for field, weight := range map[string]uint16{"weight": value(b.Weight), "leafWeight": value(b.LeafWeight)} {
		if err := checkWeight("blockIO."+field, weight); err != nil {
			return err
		}
	}
	out.BlkioWeight, out.BlkioLeafWeight = value(b.Weight), value(b.LeafWeight)
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		if err := checkWeightDevice(field, d); err != nil {
			return err
		}
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, cgroups.NewWeightDevice(d.Major, d.Minor, value(d.Weight), value(d.LeafWeight)))
	}
	out.BlkioThrottleReadBpsDevice = throttles(b.ThrottleReadBpsDevice)
	out.BlkioThrottleWriteBpsDevice = throttles(b.ThrottleWriteBpsDevice)
	out.BlkioThrottleReadIOPSDevice = throttles(b.ThrottleReadIOPSDevice)
	out.BlkioThrottleWriteIOPSDevice = throttles(b.ThrottleWriteIOPSDevice)
	if !blockIO(out) {
		return nil
	}
	return h.need("blockIO", "blkio")
}

func checkWeightDevice(field string, d specs.LinuxWeightDevice) error {
	if value(d.Weight) == 0 && value(d.LeafWeight) == 0 {
		return invalid(field, "has neither weight nor leafWeight")
	}
	if err := checkWeight(field+".weight", value(d.Weight)); err != nil {
		return err
	}
	return checkWeight(field+".leafWeight", value(d.LeafWeight))
}

func checkWeight(field string, weight uint16) error {
	if weight != 0 && (weight < 10 || weight > 1000) {
		return invalid(field, "%d is outside 10 to 1000", weight)
	}
	return nil
}

func throttles(devices []specs.LinuxThrottleDevice) []*cgroups.ThrottleDevice {
	var out []*cgroups.ThrottleDevice
	for _, d := range devices {
		out = append(out, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	return out
}

// blockIO reports whether r limits block devices.
func blockIO(r *cgroups.Resources) bool {
	return r.BlkioWeight != 0 || r.BlkioLeafWeight != 0 || len(r.BlkioWeightDevice)+
		len(r.BlkioThrottleReadBpsDevice)+len(r.BlkioThrottleWriteBpsDevice)+
		len(r.BlkioThrottleReadIOPSDevice)+len(r.BlkioThrottleWriteIOPSDevice) > 0
}
