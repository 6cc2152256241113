// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// knownFlags are those that parseFlags takes.
var knownFlags = []specs.LinuxSeccompFlag{
	"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv,
}

// Features is the seccomp part of features-linux.md. It asks the kernel which flags it
// supports.
func Features() *features.Seccomp {
	f := &features.Seccomp{Enabled: new(enabled), Actions: texts(actions), Operators: texts(operators), KnownFlags: texts(knownFlags)}
	for _, flag := range knownFlags {
		r := rules{profile: &specs.LinuxSeccomp{Flags: []specs.LinuxSeccompFlag{flag}}, notify: true}
		if enabled && r.parseFlags() == nil {
			f.SupportedFlags = append(f.SupportedFlags, string(flag))
		}
	}
	return f
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}
