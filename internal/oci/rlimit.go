// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// rlimitNumbers are the kinds of getrlimit(2); x/sys lacks some of the names.
var rlimitNumbers = map[string]int{
	"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_STACK": unix.RLIMIT_STACK, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
}

// rlimits lowers a hard limit that the daemon may not raise to the highest it may.
func (t *translation) rlimits(p *specs.Process) error {
	seen := map[int]bool{}
	for _, r := range p.Rlimits {
		n, ok := rlimitNumbers[r.Type]
		if !ok {
			return invalid("process.rlimits: unknown type %q", r.Type)
		}
		if seen[n] {
			return invalid("process.rlimits: %s is listed twice", r.Type)
		}
		if r.Soft > r.Hard {
			return invalid("process.rlimits: %s: the soft limit %d is above the hard limit %d", r.Type, r.Soft, r.Hard)
		}
		if most := t.opts.Host.MaxFiles; n == unix.RLIMIT_NOFILE && most != 0 && r.Hard > most {
			return unready("process.rlimits: RLIMIT_NOFILE: the hard limit %d is above this host's fs.nr_open, %d", r.Hard, most)
		}
		seen[n] = true
		out := plan.Rlimit{Resource: n, Soft: r.Soft, Max: r.Hard}
		t.lowerRlimit(r.Type, &out)
		t.plan.Process.Rlimits = append(t.plan.Process.Rlimits, out)
	}
	return nil
}

func (t *translation) lowerRlimit(name string, r *plan.Rlimit) {
	h := &t.opts.Host
	highest := h.HardLimits[r.Resource]
	if *h == (Host{}) || r.Max <= highest || h.can(unix.CAP_SYS_RESOURCE) {
		return
	}
	t.warn("process.rlimits: %s: the hard limit %d is lowered to %d: the daemon lacks CAP_SYS_RESOURCE", name, r.Max, highest)
	r.Max, r.Soft = highest, min(r.Soft, highest)
}
