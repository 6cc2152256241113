// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Options say which installation to examine.
type Options struct {
	Root   string // sardined's root directory; need not exist yet
	State  string // its state directory; need not exist yet
	Daemon string // path of sardined; empty: looked for beside this program and in PATH
	CNIBin string // directories of CNI plugins, separated by colons
}

// Examine runs every check.
func Examine(o Options) Report {
	existing := nearestExisting(o.Root)
	var r Report
	r.add("Programs", o.programs())
	r.add("Kernel", kernelVersion(), rootPrivileges())
	r.add("Kernel features", features(existing))
	r.add("Cgroups", cgroups())
	r.add("Exit codes while sardined is down", exitRecorder())
	r.add("Descriptors while sardined is down", descriptorStore())
	r.add("Limits", limits())
	r.add("Storage", storage(existing, o.Root), stateDirectory(o.State))
	r.add("Network of pods", o.network())
	r.add("Security modules", securityModules())
	return r
}

// add puts findings into a group.
func (r *Report) add(group string, lists ...[]Finding) {
	for _, list := range lists {
		for _, finding := range list {
			finding.Group = group
			r.Findings = append(r.Findings, finding)
		}
	}
}

// found is the finding for something that is there if err is nil, not to be told if err is
// a lack of permission, and otherwise missing.
func (f Finding) found(detail string, err error) Finding {
	switch {
	case err == nil:
		f.Verdict, f.Detail = OK, detail
	case errors.Is(err, os.ErrPermission): // EPERM and EACCES
		return f.unknown(err)
	default:
		f.Verdict, f.Detail = Missing, err.Error()
	}
	return f
}

// unknown is the finding for what could not be told.
func (f Finding) unknown(err error) Finding {
	f.Verdict, f.Detail = Info, "could not tell: "+err.Error()
	f.Lost, f.Advice = "", ""
	return f
}

// atLeast turns a finding into a remark if value is below what is recommended.
func (f Finding) atLeast(value, want uint64) Finding {
	if f.Verdict == OK && value < want {
		f.Verdict = Info
		f.Detail += fmt.Sprintf(", %d recommended", want)
	}
	return f
}

// goodKernel is the release from which on nothing is missing but what stands in the list.
var goodKernel = kernel.Version{Major: 5, Minor: 15}

func kernelVersion() []Finding {
	f := Finding{Name: "version", Advice: "Linux " + goodKernel.String() + " or later",
		Lost: "nobody has tested sardined here; the features below decide"}
	running, release, err := kernel.RunningVersion()
	f = f.found("Linux "+release, err)
	if err == nil && running.Before(goodKernel) {
		f.Verdict = Missing
	}
	return []Finding{f}
}

func rootPrivileges() []Finding {
	f := Finding{Name: "root", Required: true, Verdict: OK, Detail: "running as root",
		Lost: "sardined makes namespaces, mounts and cgroups", Advice: "run as root"}
	if os.Geteuid() != 0 {
		f.Verdict, f.Detail = Missing, "not running as root; checks below may not be able to tell"
	}
	return []Finding{f}
}

// neededFeatures are those without which no container starts.
func neededFeatures() []kernel.FeatureName {
	return []kernel.FeatureName{
		kernel.FeaturePidfd, kernel.FeaturePidfdSignal, kernel.FeaturePidfdWait, kernel.FeatureMemfdExec,
		kernel.FeatureOpenat2, kernel.FeatureMountAPI, kernel.FeatureMountSetattr,
	}
}
