// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"regexp"
	"strings"
)

// cgroupPrefix is the prefix of the scope's name, as containerd's: tools look for
// cri-containerd-ID.scope.
const cgroupPrefix = "cri-containerd"

// CgroupsPath is linux.cgroupsPath for container id in the cgroup of a pod: parent/id, or
// slice:prefix:id with systemd. Without a parent it is a cgroup of its own. The parent is one
// that CheckPod took.
func CgroupsPath(n *Node, parent, id string) string {
	switch {
	case n.SystemdCgroup && parent == "":
		return strings.Join([]string{"", cgroupPrefix, id}, ":") // systemd's default slice
	case n.SystemdCgroup:
		return strings.Join([]string{path.Base(parent), cgroupPrefix, id}, ":")
	case parent == "":
		return path.Join("/", namespace, id)
	}
	return path.Join("/", parent, id)
}

// CgroupsPath is the function of this name for the translator's node.
func (t *Translator) CgroupsPath(parent, id string) string {
	return CgroupsPath(&t.node, parent, id)
}

// slice is a slice's name: systemd.slice(5). Each dash is a step in the tree. A colon, which
// systemd allows, would separate the parts of a cgroupsPath.
var slice = regexp.MustCompile(`^(-|[A-Za-z0-9_.\\@]+(-[A-Za-z0-9_.\\@]+)*)\.slice$`)

func checkCgroupParent(n *Node, parent string) error {
	const field = "linux.cgroup_parent"
	if parent == "" {
		return nil
	}
	if err := checkRelative(field, parent); err != nil {
		return err
	}
	if n.SystemdCgroup {
		if !slice.MatchString(path.Base(parent)) {
			return invalid("%s: %s is not a slice: with SystemdCgroup = true the client has to use the systemd driver too", field, quoted(parent))
		}
		return nil
	}
	return nil
}
