// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"slices"
	"strings"
)

// capabilities adds to and drops from the default set. ALL comes first in both lists, so
// that single names then refine it. Ambient ones are only those asked for. A name this
// kernel does not know is passed on: package oci leaves it out with a warning.
func (t *translation) capabilities() error {
	c := t.spec.Process.Capabilities
	c.Ambient = nil
	if t.security.GetPrivileged() {
		t.setCapabilities(t.node.BoundingCaps)
		t.addAmbient()
		return nil
	}
	add := t.security.GetCapabilities().GetAddCapabilities()
	drop := t.security.GetCapabilities().GetDropCapabilities()
	if slices.ContainsFunc(add, isAll) {
		t.setCapabilities(t.node.BoundingCaps)
	}
	if slices.ContainsFunc(drop, isAll) {
		t.setCapabilities(nil)
	}
	for _, name := range add {
		if !isAll(name) {
			t.addCapability(capabilityName(name))
		}
	}
	t.addAmbient()
	for _, name := range drop {
		if !isAll(name) {
			t.dropCapability(capabilityName(name))
		}
	}
	return nil
}

func isAll(name string) bool {
	return strings.EqualFold(name, "ALL")
}

// capabilityName adds the prefix that CRI leaves out. A name that has it is taken too: a
// capability to be dropped must not stay for a prefix.
func capabilityName(name string) string {
	return "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_")
}

func (t *translation) setCapabilities(list []string) {
	c := t.spec.Process.Capabilities
	c.Bounding, c.Effective, c.Permitted = slices.Clone(list), slices.Clone(list), slices.Clone(list)
	c.Inheritable = slices.DeleteFunc(c.Inheritable, func(name string) bool { return !slices.Contains(list, name) })
}

func (t *translation) addCapability(name string) {
	c := t.spec.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
		addTo(set, name)
	}
}

func addTo(set *[]string, name string) {
	if !slices.Contains(*set, name) {
		*set = append(*set, name)
	}
}

// addAmbient puts capabilities in all sets: capabilities(7) keeps one ambient only while it is
// permitted and inheritable.
func (t *translation) addAmbient() {
	c := t.spec.Process.Capabilities
	for _, given := range t.security.GetCapabilities().GetAddAmbientCapabilities() {
		names := []string{capabilityName(given)}
		if isAll(given) {
			names = t.node.BoundingCaps
		}
		for _, name := range names {
			t.addCapability(name)
			addTo(&c.Inheritable, name)
			addTo(&c.Ambient, name)
		}
	}
}

func (t *translation) dropCapability(name string) {
	c := t.spec.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted, &c.Inheritable, &c.Ambient} {
		*set = slices.DeleteFunc(*set, func(have string) bool { return have == name })
	}
}
