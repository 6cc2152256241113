// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups/systemd"
)

// Driver says who makes the directories.
type Driver string

const (
	// Cgroupfs: this package makes them.
	Cgroupfs Driver = "cgroupfs"
	// Systemd makes them, as a transient scope per container, once it is given the pid.
	Systemd Driver = "systemd"
)

// Unit names the systemd unit of a container.
type Unit struct {
	Slice  string `json:"slice"`
	Prefix string `json:"prefix"`
	Name   string `json:"name"`
}

// parseUnit reads a cgroupsPath of the form "slice:prefix:name".
func parseUnit(cgroupsPath string) (*Unit, error) {
	parts := strings.Split(cgroupsPath, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("linux.cgroupsPath: %q is not of the form slice:prefix:name, which the systemd cgroup driver needs: %w",
			cgroupsPath, errdefs.ErrInvalidArgument)
	}
	u := &Unit{Slice: parts[0], Prefix: parts[1], Name: parts[2]}
	if u.Name == "" || strings.ContainsAny(u.Prefix+u.Name, "/\x00\n") {
		return nil, fmt.Errorf("linux.cgroupsPath: %q holds no valid unit name: %w", cgroupsPath, errdefs.ErrInvalidArgument)
	}
	if u.Slice == "" {
		u.Slice = "system.slice"
	}
	if _, err := systemd.ExpandSlice(u.Slice); err != nil {
		return nil, fmt.Errorf("linux.cgroupsPath: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return u, nil
}

// String is the unit's name for systemctl.
func (u *Unit) String() string {
	if strings.HasSuffix(u.Name, ".slice") {
		return u.Name
	}
	return u.Prefix + "-" + u.Name + ".scope"
}

// path is the unit's cgroup below every mount: systemd nests slices by their dashes.
func (u *Unit) path() string {
	slice, err := systemd.ExpandSlice(u.Slice)
	if err != nil {
		return "" // parseUnit refused it
	}
	return strings.TrimPrefix(path.Join(slice, u.String()), "/")
}
