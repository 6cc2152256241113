// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"regexp"

	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PodLabels are the labels of a pod, "" where SELinux is off. The categories in process are
// reserved until selinux.ReleaseLabel.
func (t *Translator) PodLabels(cfg *runtime.PodSandboxConfig) (process, mount string, err error) {
	return t.labels(labelOptions(cfg.GetLinux().GetSecurityContext().GetSelinuxOptions()))
}

// selinux labels the container as asked for, else with the pod's categories.
func (t *translation) selinux() error {
	options := labelOptions(t.security.GetSelinuxOptions())
	if len(options) == 0 && t.node.SELinux && t.c.Pod.ProcessLabel != "" {
		var err error
		if options, err = selinux.DupSecOpt(t.c.Pod.ProcessLabel); err != nil {
			return unready("the pod's SELinux label %q: %v", t.c.Pod.ProcessLabel, err)
		}
	}
	process, mount, err := t.labels(options)
	if err != nil {
		return err
	}
	t.spec.Process.SelinuxLabel, t.spec.Linux.MountLabel = process, mount
	t.result.ProcessLabel = process
	return nil
}

func (t *Translator) labels(options []string) (process, mount string, err error) {
	if !t.node.SELinux {
		return "", "", nil
	}
	process, mount, err = label.InitLabels(options)
	if err != nil {
		return "", "", invalid("selinux_options: %v", err)
	}
	return process, mount, nil
}

func labelOptions(o *runtime.SELinuxOption) []string {
	var list []string
	for _, part := range []struct{ key, value string }{
		{"user", o.GetUser()}, {"role", o.GetRole()}, {"type", o.GetType()}, {"level", o.GetLevel()},
	} {
		if part.value != "" {
			list = append(list, part.key+":"+part.value)
		}
	}
	return list
}

// level is a sensitivity, or a range of them, with categories: "s0:c1,c2", "s0-s1:c0.c1023".
var level = regexp.MustCompile(`^s\d(-s\d)?(:c\d{1,4}(\.c\d{1,4})?(,c\d{1,4}(\.c\d{1,4})?)*)?$`)

func checkSELinux(field string, o *runtime.SELinuxOption) error {
	for _, s := range []string{o.GetUser(), o.GetRole(), o.GetType(), o.GetLevel()} {
		if err := checkLine(field, s, maxName); err != nil {
			return err
		}
	}
	if l := o.GetLevel(); l != "" && !level.MatchString(l) {
		return invalid("%s.level: the format of %s is not correct", field, quoted(l))
	}
	return nil
}
