// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// removeCgroups removes the empty parent group named after a namespace: it is
// made by whoever creates the first container's group (the client library
// puts containers at /NAMESPACE/ID), and no runtime removes it.
func removeCgroups(namespace string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer file.Close()
	mountPoints, err := cgroupMounts(file)
	if err != nil {
		return err
	}
	var failed []error
	for _, dir := range mountPoints {
		err := os.Remove(filepath.Join(dir, namespace))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, fmt.Errorf("remove cgroup of namespace %s: %w", namespace, err))
		}
	}
	return errors.Join(failed...)
}

// cgroupMounts lists the mount points of every cgroup hierarchy in a
// mountinfo table (proc(5)), of both versions.
func cgroupMounts(mountinfo io.Reader) ([]string, error) {
	var points []string
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		mount, filesystem, found := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		if !found || len(fields) < 5 {
			continue
		}
		if strings.HasPrefix(filesystem, "cgroup ") || strings.HasPrefix(filesystem, "cgroup2 ") {
			points = append(points, fields[4])
		}
	}
	return points, lines.Err()
}
