// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	systemdDbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
)

// startUnit makes the scope with its first process and sets its limits.
func (c *Cgroup) startUnit(pid int) error {
	m, err := c.unitManager(c.pending.resources, c.pending.properties)
	if err != nil {
		return err
	}
	err = m.Apply(pid)
	if err == nil {
		c.pending.attached = true
		err = limitError(m.Set(c.pending.resources))
	}
	if err == nil && c.host.mode != Unified {
		err = c.inheritCpuset()
	}
	if err != nil {
		c.pending.attached = false
		return fmt.Errorf("cgroup: start systemd unit %s: %w", c.unit, errors.Join(err, m.Destroy()))
	}
	return nil
}

func (c *Cgroup) unitManager(r *cgroups.Resources, properties []systemdDbus.Property) (cgroups.Manager, error) {
	if !systemd.IsRunningSystemd() {
		return nil, fmt.Errorf("cgroup: the systemd cgroup driver is configured, but systemd does not run on this host; use the cgroupfs driver: %w",
			errdefs.ErrFailedPrecondition)
	}
	cfg := &cgroups.Cgroup{
		Name:         c.unit.Name,
		Parent:       c.unit.Slice,
		ScopePrefix:  c.unit.Prefix,
		Resources:    r,
		Systemd:      true,
		SystemdProps: properties,
	}
	if c.host.mode == Unified {
		return systemd.NewUnifiedManager(cfg, c.host.unified.path(c.path))
	}
	return systemd.NewLegacyManager(cfg, c.Paths())
}

const propertyPrefix = "org.systemd.property."

// propertyName: systemd's own names are letters only (systemd.exec(5) and its neighbours).
var propertyName = regexp.MustCompile(`^[A-Za-z]{3,}$`)

// unitProperties reads the annotations org.systemd.property.NAME, whose values are in GVariant
// text format. A name in "Sec" becomes the "USec" that the D-Bus interface has.
func unitProperties(annotations map[string]string) ([]systemdDbus.Property, error) {
	var properties []systemdDbus.Property
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, propertyPrefix)
		if !ok {
			continue
		}
		property, err := unitProperty(name, annotations[key])
		if err != nil {
			return nil, fmt.Errorf("annotations[%q]: %w: %w", key, err, errdefs.ErrInvalidArgument)
		}
		properties = append(properties, property)
	}
	return properties, nil
}

func unitProperty(name, text string) (systemdDbus.Property, error) {
	if !propertyName.MatchString(name) {
		return systemdDbus.Property{}, fmt.Errorf("%q is not the name of a systemd property", name)
	}
	v, err := dbus.ParseVariant(text, dbus.Signature{})
	if err != nil {
		return systemdDbus.Property{}, fmt.Errorf("value %q is not in GVariant text format: %w", text, err)
	}
	stem, seconds := strings.CutSuffix(name, "Sec")
	if seconds && !strings.HasSuffix(stem, "U") {
		name = stem + "USec"
		if v, err = microseconds(v); err != nil {
			return systemdDbus.Property{}, err
		}
	}
	return systemdDbus.Property{Name: name, Value: v}, nil
}

func microseconds(v dbus.Variant) (dbus.Variant, error) {
	const perSecond = 1_000_000
	var us float64
	switch n := v.Value().(type) {
	case uint8:
		us = float64(n) * perSecond
	case int16:
		us = float64(n) * perSecond
	case uint16:
		us = float64(n) * perSecond
	case int32:
		us = float64(n) * perSecond
	case uint32:
		us = float64(n) * perSecond
	case int64:
		us = float64(n) * perSecond
	case uint64:
		us = float64(n) * perSecond
	case float64:
		us = n * perSecond
	default:
		return v, fmt.Errorf("value %s is not a number of seconds", v)
	}
	if us < 0 || us >= 1<<63 {
		return v, fmt.Errorf("value %s is no valid number of seconds", v)
	}
	return dbus.MakeVariant(uint64(us)), nil
}
