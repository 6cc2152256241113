// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// trunk is an element of vlanTrunk: a range, a single VLAN, or both.
type trunk struct {
	MinID *int `json:"minID"`
	MaxID *int `json:"maxID"`
	ID    *int `json:"id"`
}

// vlanRange is a range of VLAN IDs, its last one included.
type vlanRange struct{ first, last uint16 }

// vlanRanges returns the IDs of all elements, each once and in ascending order, in as few ranges as possible.
func vlanRanges(elements []trunk) ([]vlanRange, error) {
	var tagged [maxVLAN + 1]bool
	for _, t := range elements {
		if err := t.mark(&tagged); err != nil {
			return nil, err
		}
	}
	var ranges []vlanRange
	for id := 1; id <= maxVLAN; id++ {
		switch {
		case !tagged[id]:
		case tagged[id-1]:
			ranges[len(ranges)-1].last = uint16(id)
		default:
			ranges = append(ranges, vlanRange{uint16(id), uint16(id)})
		}
	}
	return ranges, nil
}

func (t trunk) mark(tagged *[maxVLAN + 1]bool) error {
	switch {
	case t.MinID != nil && t.MaxID != nil:
		switch {
		case *t.MinID <= 0 || *t.MinID > maxVLAN:
			return errors.New("incorrect trunk minID parameter")
		case *t.MaxID <= 0 || *t.MaxID > maxVLAN:
			return errors.New("incorrect trunk maxID parameter")
		case *t.MaxID < *t.MinID:
			return errors.New("minID is greater than maxID in trunk parameter")
		}
		for id := *t.MinID; id <= *t.MaxID; id++ {
			tagged[id] = true
		}
	case t.MaxID != nil:
		return errors.New("minID and maxID should be configured simultaneously, minID is missing")
	case t.MinID != nil:
		return errors.New("minID and maxID should be configured simultaneously, maxID is missing")
	}
	if t.ID != nil {
		if *t.ID <= 0 || *t.ID > maxVLAN {
			return errors.New("incorrect trunk id parameter")
		}
		tagged[*t.ID] = true
	}
	return nil
}

// portVLANs are those of one port of a bridge.
type portVLANs struct {
	id           int // untagged, 0 for none
	trunks       []vlanRange
	keepsDefault bool
}

func (conf *config) portVLANs() portVLANs {
	return portVLANs{id: conf.VLAN, trunks: conf.trunks, keepsDefault: conf.PreserveDefaultVLAN}
}

func (v portVLANs) any() bool { return v.id != 0 || len(v.trunks) > 0 }

// set gives a port that has just joined br its VLANs. A new port has the bridge's default one.
func (p *Plugin) setVLANs(br *netlink.Bridge, port netlink.Link, v portVLANs) error {
	name := port.Attrs().Name
	if !v.keepsDefault {
		if err := p.removeDefault(br, port); err != nil {
			return fmt.Errorf("failed to remove default vlan on interface %q: %w", name, err)
		}
	}
	if v.id != 0 {
		if err := p.host.BridgeVlanAdd(port, uint16(v.id), true, true, false, true); err != nil {
			return fmt.Errorf("failed to setup vlan tag on interface %q: %w", name, err)
		}
	}
	for _, r := range v.trunks {
		if err := p.addRange(port, r); err != nil {
			return fmt.Errorf("failed to setup vlan tag on interface %q: %w", name, err)
		}
	}
	if v.id == 0 { // a trunk's frames without a tag are those of VLAN 1
		if err := p.host.BridgeVlanAdd(port, 1, true, true, false, true); err != nil {
			return fmt.Errorf("failed to setup default native vlan tag on interface %q: %w", name, err)
		}
	}
	return nil
}

// addRange adds tagged VLANs in one request: the kernel refuses a range of one.
func (p *Plugin) addRange(port netlink.Link, r vlanRange) error {
	if r.first == r.last {
		return p.host.BridgeVlanAdd(port, r.first, false, false, false, true)
	}
	return p.host.BridgeVlanAddRange(port, r.first, r.last, false, false, false, true)
}

func (p *Plugin) removeDefault(br *netlink.Bridge, port netlink.Link) error {
	id := uint16(1)
	if br.VlanDefaultPVID != nil {
		id = *br.VlanDefaultPVID
	}
	if id == 0 {
		return nil
	}
	return p.host.BridgeVlanDel(port, id, false, false, false, true)
}
