// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// notResources are files of cgroup v2 whose writing moves, kills or reshapes instead of
// limiting. A spec that asks for them would break the container's life cycle.
var notResources = []string{
	"cgroup.procs", "cgroup.threads", "cgroup.type", "cgroup.kill", "cgroup.freeze", "cgroup.subtree_control",
}

// checkUnified checks one key of linux.resources.unified: "CONTROLLER.PARAMETER".
func (h *Host) checkUnified(key string) error {
	field := fmt.Sprintf("unified[%q]", key)
	controller, parameter, found := strings.Cut(key, ".")
	switch {
	case !found || controller == "" || parameter == "" || strings.ContainsAny(key, "/\x00\n"):
		return invalid(field, "want a file name of the form CONTROLLER.PARAMETER")
	case slices.Contains(notResources, key):
		return invalid(field, "is not a resource and cannot be set from a spec")
	case controller == "cgroup", slices.Contains(h.controllers, controller):
		return nil
	case controller == "hugetlb", controller == "rdma", controller == "misc", controller == "io", controller == "cpuset",
		controller == "memory", controller == "pids", controller == "cpu", controller == "dmem":
		return fmt.Errorf("linux.resources.%s: the %s controller is not available in cgroup.controllers of this host: %w", field, controller, errdefs.ErrFailedPrecondition)
	}
	return invalid(field, "no such controller; this host has %v", h.controllers)
}
