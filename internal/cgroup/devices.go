// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"slices"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // sets cgroups.DevicesSetV1 and V2
	"github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// deviceRules is the container's device policy: everything denied, then the spec's
// rules in their order, then what every container may use.
func deviceRules(r *specs.LinuxResources) ([]*config.Rule, error) {
	var rules []*config.Rule
	if r != nil {
		for i, d := range r.Devices {
			rule, err := deviceRule(d)
			if err != nil {
				return nil, invalid(fmt.Sprintf("devices[%d]", i), "%v", err)
			}
			rules = append(rules, rule)
		}
	}
	return append(rules, defaultRules()...), nil
}

func deviceRule(d specs.LinuxDeviceCgroup) (*config.Rule, error) {
	rule := &config.Rule{
		Type:        config.WildcardDevice,
		Major:       config.Wildcard,
		Minor:       config.Wildcard,
		Permissions: config.Permissions(d.Access),
		Allow:       d.Allow,
	}
	switch d.Type {
	case "", "a":
	case "b":
		rule.Type = config.BlockDevice
	case "c", "u":
		rule.Type = config.CharDevice
	default:
		return nil, fmt.Errorf("type %q: want a, b or c", d.Type)
	}
	if d.Access == "" || !ruleAccess(d.Access) {
		return nil, fmt.Errorf("access %q: want one or more of r, w and m", d.Access)
	}
	if err := deviceNumbers(d, rule); err != nil {
		return nil, err
	}
	return rule, nil
}

// deviceNumbers. A rule of type "a" covers every device whatever its numbers are, so
// numbers there would promise a narrower rule than the kernel makes of it.
func deviceNumbers(d specs.LinuxDeviceCgroup, rule *config.Rule) error {
	for _, n := range []struct {
		name string
		from *int64
		to   *int64
	}{{"major", d.Major, &rule.Major}, {"minor", d.Minor, &rule.Minor}} {
		if n.from == nil {
			continue
		}
		if *n.from < -1 || *n.from > 1<<32-1 {
			return fmt.Errorf("%s %d: want a device number, or -1 for all", n.name, *n.from)
		}
		if *n.from >= 0 && rule.Type == config.WildcardDevice {
			return fmt.Errorf("%s %d: the rule has no type, so it covers all devices; set type to b or c", n.name, *n.from)
		}
		*n.to = *n.from
	}
	return nil
}

func ruleAccess(access string) bool {
	for _, char := range access {
		if !slices.Contains([]rune{'r', 'w', 'm'}, char) {
			return false
		}
	}
	return true
}

// defaultRules are the devices the OCI runtime specification gives to every container
// (config-linux.md, default devices), and mknod of any node, which without a
// rule to open it lets nobody use the device.
func defaultRules() []*config.Rule {
	const c, b = config.CharDevice, config.BlockDevice
	rules := []*config.Rule{
		{Type: c, Major: config.Wildcard, Minor: config.Wildcard, Permissions: "m"},
		{Type: b, Major: config.Wildcard, Minor: config.Wildcard, Permissions: "m"},
		{Type: c, Major: 1, Minor: 3, Permissions: "rwm"},                 // null
		{Type: c, Major: 1, Minor: 5, Permissions: "rwm"},                 // zero
		{Type: c, Major: 1, Minor: 7, Permissions: "rwm"},                 // full
		{Type: c, Major: 1, Minor: 8, Permissions: "rwm"},                 // random
		{Type: c, Major: 1, Minor: 9, Permissions: "rwm"},                 // urandom
		{Type: c, Major: 5, Minor: 0, Permissions: "rwm"},                 // tty
		{Type: c, Major: 5, Minor: 1, Permissions: "rwm"},                 // console
		{Type: c, Major: 5, Minor: 2, Permissions: "rwm"},                 // ptmx
		{Type: c, Major: 136, Minor: config.Wildcard, Permissions: "rwm"}, // pts/*
	}
	for _, rule := range rules {
		rule.Allow = true
	}
	return rules
}

// policy is a list of rules in its simplest equivalent form.
type policy struct {
	allowAll bool
	allowed  []*config.Rule // when not allowAll
}

// simplify evaluates rules for a cgroup that starts with everything denied. It is not ok
// when a single device is denied: what that means beside wider rules differs between
// the two cgroup versions, and is left to the devices package.
func simplify(rules []*config.Rule) (p policy, ok bool) {
	for _, rule := range rules {
		switch {
		case rule.Type == config.WildcardDevice:
			p = policy{allowAll: rule.Allow}
		case !rule.Allow:
			return policy{}, false
		case !p.allowAll:
			p.allowed = append(p.allowed, rule)
		}
	}
	return p, true
}

// setDevices installs the device policy of a cgroup without processes.
func (c *Cgroup) setDevices(r *cgroups.Resources, made *created) error {
	p, simple := simplify(r.Devices)
	if c.host.mode == Unified {
		return deviceError(c.setFilter(r, simple && p.allowAll, made))
	}
	h := c.host.v1Of("devices")
	switch {
	case h == nil:
		return deviceError(unix.ENODEV)
	case simple && made.leaf(h, c.path):
		return deviceError(p.write(h, c.path))
	}
	return deviceError(cgroups.DevicesSetV1(h.path(c.path), r))
}

// setFilter installs the policy on cgroup v2. A new cgroup has no filter yet.
func (c *Cgroup) setFilter(r *cgroups.Resources, allowAll bool, made *created) error {
	h := c.host.unified
	switch {
	case !made.leaf(h, c.path):
		return cgroups.DevicesSetV2(h.path(c.path), r)
	case allowAll:
		return nil
	}
	return c.host.filters.install(h, c.path, r)
}

func deviceError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("set device rules: %w", err)
}

// write installs p in a new v1 cgroup, which still has its parent's rules. One open file
// takes all of them; DevicesSetV1 reads the list back twice and opens a file per rule,
// which a cgroup in use needs and a new one does not.
func (p policy) write(h *hierarchy, rel string) error {
	if p.allowAll {
		return nil
	}
	if err := h.write(rel+"/devices.deny", "a"); err != nil {
		return err
	}
	const file = "/devices.allow"
	fd, err := h.open(rel+file, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, rule := range p.allowed {
		if err := h.writeTo(fd, rel+file, rule.CgroupString()); err != nil {
			return err
		}
	}
	return nil
}
