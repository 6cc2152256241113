// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sardine-run/sardine/internal/cgroup"
)

// cgroups says which hierarchies there are and which limits can be set.
func cgroups() []Finding {
	mode := Finding{Name: "mode", Required: true,
		Lost:   "containers cannot be limited, counted or killed as a whole",
		Advice: "mount -t cgroup2 cgroup2 /sys/fs/cgroup"}
	host, err := cgroup.Detect()
	if err != nil {
		return []Finding{mode.found("", err)}
	}
	defer host.Close()
	findings := []Finding{mode.found(modeDetail(host.Mode()), nil)}
	have := host.Controllers()
	for _, want := range controllers(host.Mode()) {
		findings = append(findings, want.finding(have))
	}
	return append(findings, systemdDriver())
}

func modeDetail(mode cgroup.Mode) string {
	switch mode {
	case cgroup.Unified:
		return "unified: cgroup v2 only"
	case cgroup.Hybrid:
		return "hybrid: cgroup v1 controllers, an empty cgroup v2 beside them"
	default:
		return string(mode) + ": cgroup v1 only"
	}
}

// controller is a cgroup controller and what it is for.
type controller struct{ name, lost string }

func controllers(mode cgroup.Mode) []controller {
	common := []controller{
		{"cpu", "CPU shares and quotas do nothing"},
		{"cpuset", "containers cannot be bound to CPUs"},
		{"memory", "containers have no memory limit"},
		{"pids", "containers have no limit of processes"},
		{"hugetlb", "huge pages are not limited"},
	}
	if mode == cgroup.Unified {
		return append(common, controller{"io", "disk bandwidth is not limited"})
	}
	return append(common,
		controller{"blkio", "disk bandwidth is not limited"},
		controller{"cpuacct", "CPU time is not counted"},
		controller{"devices", "containers reach every device for which they can make a node"},
		controller{"freezer", "containers cannot be paused"})
}

func (c controller) finding(have []string) Finding {
	f := Finding{Name: c.name + " controller", Verdict: OK, Detail: "found", Lost: c.lost,
		Advice: "enable it in the kernel (cgroup_enable= on the command line, CONFIG_CGROUP_*)"}
	if !slices.Contains(have, c.name) {
		f.Verdict = Missing
		f.Detail = fmt.Sprintf("not among: %s", strings.Join(have, " "))
	}
	return f
}

// systemdDriver says whether SystemdCgroup = true would work.
func systemdDriver() Finding {
	f := Finding{Name: "systemd cgroup driver", Verdict: Info, Detail: "systemd runs this machine: both drivers work"}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		f.Detail = "systemd does not run this machine: only cgroupfs works"
	}
	return f
}
