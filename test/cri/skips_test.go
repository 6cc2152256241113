// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"os"
	"strings"
)

// skip is a group of critest's specs that cannot run on some machines.
type skip struct {
	specs string // part of their names
	why   string
	here  func() bool // whether this machine is such
}

// skips are all reasons for which a spec of critest may be skipped.
var skips = []skip{
	{"AppArmor", "the kernel has no AppArmor", func() bool { return !appArmor() }},
}

func appArmor() bool {
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(enabled), "Y")
}

// reasonToSkip returns why a spec may be skipped here, "" when it may not.
func reasonToSkip(s spec) string {
	for _, allowed := range skips {
		if strings.Contains(s.name, allowed.specs) && allowed.here() {
			return allowed.why
		}
	}
	return ""
}
