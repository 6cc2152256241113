// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// capabilityNames are the names of capabilities(7) by number.
var capabilityNames = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE",
	"CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

func capabilityNumber(name string) (int, bool) {
	for i, n := range capabilityNames {
		if n == name {
			return i, true
		}
	}
	return 0, false
}

// capabilities turns the five sets into masks. Unknown names are left out with a
// warning, as other runtimes do: a spec may be made for a newer kernel. A missing
// field means no capabilities.
func (t *translation) capabilities(p *specs.Process) error {
	c := p.Capabilities
	if c == nil {
		c = &specs.LinuxCapabilities{}
	}
	w := capabilityWarnings{available: t.available(), lastCap: t.lastCap()}
	out := &plan.Capabilities{
		Bounding:    w.mask(c.Bounding),
		Effective:   w.mask(c.Effective),
		Inheritable: w.mask(c.Inheritable),
		Permitted:   w.mask(c.Permitted),
		Ambient:     w.mask(c.Ambient),
	}
	if out.Effective&^out.Permitted != 0 {
		return invalid("process.capabilities: effective has %s, which permitted has not", names(out.Effective&^out.Permitted))
	}
	if extra := out.Ambient &^ (out.Permitted & out.Inheritable); extra != 0 {
		t.warn("process.capabilities: ambient %s is ignored: permitted and inheritable must have it too", names(extra))
		out.Ambient &^= extra
	}
	if len(w.unknown) > 0 {
		t.warn("process.capabilities: %s unknown to this kernel and ignored", strings.Join(w.unknown, ", "))
	}
	if w.missing != 0 {
		t.warn("process.capabilities: the daemon itself lacks %s; the container does without", names(w.missing))
	}
	t.plan.Process.Capabilities = out
	return nil
}

// available are the capabilities that can be given: the daemon's, but all of them in
// a user namespace.
func (t *translation) available() uint64 {
	if t.spaces.has(unix.CLONE_NEWUSER) || t.opts.Host.Capabilities == 0 {
		return ^uint64(0)
	}
	return t.opts.Host.Capabilities
}

func (t *translation) lastCap() int {
	if t.opts.Host.LastCap == 0 {
		return len(capabilityNames) - 1
	}
	return t.opts.Host.LastCap
}

// capabilityWarnings collects over all sets what cannot be given.
type capabilityWarnings struct {
	available uint64
	lastCap   int
	unknown   []string
	missing   uint64
}

func (w *capabilityWarnings) mask(set []string) uint64 {
	var mask uint64
	for _, name := range set {
		n, ok := capabilityNumber(name)
		if !ok || n > w.lastCap {
			w.addUnknown(name)
			continue
		}
		mask |= 1 << n
	}
	w.missing |= mask &^ w.available
	return mask & w.available
}

func (w *capabilityWarnings) addUnknown(name string) {
	for _, u := range w.unknown {
		if u == name {
			return
		}
	}
	w.unknown = append(w.unknown, name)
}

func names(mask uint64) string {
	var list []string
	for i, n := range capabilityNames {
		if mask&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return strings.Join(list, ", ")
}
