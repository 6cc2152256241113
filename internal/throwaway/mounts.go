// SPDX-License-Identifier: Apache-2.0

package throwaway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountRun makes the directory for sockets and state a tmpfs, which /run is for
// an installed daemon: the cost of its records depends on it. Where that is not
// allowed the records are on the disk, and nothing else is different.
func (d *Daemon) mountRun() {
	run := filepath.Join(d.Dir, "run")
	if os.Mkdir(run, 0o711) == nil {
		_ = unix.Mount("sardine", run, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711")
	}
}

// mountBPF makes a bpffs for the programs that sardined pins: they end with it,
// while those in the machine's would go on after the daemon. It returns the
// directory, or "none", as sardined's bpf_dir wants it, where there can be none.
func (d *Daemon) mountBPF() string {
	dir := filepath.Join(d.Dir, "bpf")
	if os.Mkdir(dir, 0o700) != nil || unix.Mount("bpf", dir, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=700") != nil {
		return "none"
	}
	return dir
}

// unmountBelow detaches every mount below dir, the latest first, so that
// removing dir cannot reach into one.
func unmountBelow(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	points := mountPointsBelow(string(table), dir)
	var failed []error
	for i := len(points) - 1; i >= 0; i-- {
		if err := unix.Unmount(points[i], unix.MNT_DETACH); err != nil {
			failed = append(failed, fmt.Errorf("unmount %s: %w", points[i], err))
		}
	}
	return errors.Join(failed...)
}

// mountPointsBelow reads the fifth field of a mountinfo table (proc(5)), in
// its order, which is the order of mounting. Our names need no unescaping.
func mountPointsBelow(table, dir string) []string {
	var points []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	return points
}
