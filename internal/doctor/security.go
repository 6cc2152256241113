// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"strings"
)

// securityModules says which labels containers can have.
func securityModules() []Finding {
	return []Finding{
		module("AppArmor", "/sys/module/apparmor/parameters/enabled", "Y"),
		module("SELinux", "/sys/fs/selinux/enforce", "1"),
		module("seccomp", "/proc/sys/kernel/seccomp/actions_avail", ""),
	}
}

// module is on if the first word of path is want, or if path is there when want is empty.
func module(name, path, want string) Finding {
	f := Finding{Name: name, Verdict: Info, Detail: "off"}
	text, err := os.ReadFile(path)
	if err == nil && strings.HasPrefix(string(text), want) {
		f.Verdict, f.Detail = OK, "on"
	}
	return f
}
