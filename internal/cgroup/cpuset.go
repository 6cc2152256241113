// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"path"
	"strings"
)

// A v1 cpuset starts without cpus and memory nodes and refuses tasks until it has some.

// prepareParent is called for each directory made above containers' own ones.
func prepareParent(h *hierarchy, rel string) error {
	if !h.has("cpuset") {
		return nil
	}
	if err := inheritCpuset(h, rel); err != nil {
		return err
	}
	// From now on the kernel copies both values into each new child,
	// which costs nothing, while the two writes cost 20 µs.
	return h.write(rel+"/cgroup.clone_children", "1")
}

func (c *Cgroup) inheritCpuset() error {
	h := c.host.v1Of("cpuset")
	if h == nil {
		return nil
	}
	return inheritCpuset(h, c.path)
}

// inheritCpuset fills an empty cpuset with its parent's values. It comes after the values of
// the spec are written, so that they need not fit beside an exclusive sibling's first.
func inheritCpuset(h *hierarchy, rel string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if _, err := filledCpuset(h, rel, file); err != nil {
			return err
		}
	}
	return nil
}

// filledCpuset returns the value of file in rel. When it is empty it is first filled from the
// parent, which somebody else may have made and left empty too.
func filledCpuset(h *hierarchy, rel, file string) (string, error) {
	value, err := h.read(rel + "/" + file)
	value = strings.TrimSpace(value)
	if err != nil || value != "" {
		return value, err
	}
	if rel == "." {
		return "", fmt.Errorf("%s is empty", h.path(file))
	}
	if value, err = filledCpuset(h, path.Dir(rel), file); err != nil {
		return "", err
	}
	return value, h.write(rel+"/"+file, value)
}
