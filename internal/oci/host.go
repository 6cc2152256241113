// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// timeAtExec is the first kernel where exec enters a time namespace that was unshared;
// before it only a further clone does. There is nothing to try it with that is cheap.
var timeAtExec = kernel.Version{Major: 6, Minor: 3}

// limits is the number of RLIMIT_* kinds of Linux.
const limits = unix.RLIMIT_RTTIME + 1

// Host is what the daemon may do and the kernel offers.
type Host struct {
	LastCap      int            // highest capability the kernel knows
	Capabilities uint64         // mask of those the daemon can give away
	OOMScoreAdj  int            // the daemon's; without CAP_SYS_RESOURCE the lowest for a container
	HardLimits   [limits]uint64 // the daemon's; without CAP_SYS_RESOURCE the highest for a container
	MaxFiles     uint64         // fs.nr_open, above which nobody can set RLIMIT_NOFILE
	StackLimit   uint64         // the daemon's soft RLIMIT_STACK, bytes: it bounds argument lists
	AppArmor     bool
	SELinux      bool
	KCore        bool // /proc/kcore exists
	TimeAtExec   bool // a process enters its new time namespace at exec
}

// DetectHost looks at the running daemon. Call it after the daemon has set its own
// oom_score_adj and limits.
func DetectHost() (Host, error) {
	var h Host
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return h, fmt.Errorf("look at the daemon's privileges: %w", err)
	}
	h.Capabilities = statusMask(status, "CapPrm") & statusMask(status, "CapBnd")
	if h.LastCap, err = readNumber("/proc/sys/kernel/cap_last_cap"); err != nil {
		return h, err
	}
	files, err := readNumber("/proc/sys/fs/nr_open")
	if err != nil {
		return h, err
	}
	h.MaxFiles = uint64(files)
	if h.OOMScoreAdj, err = readNumber("/proc/self/oom_score_adj"); err != nil {
		return h, err
	}
	if err := h.readLimits(); err != nil {
		return h, err
	}
	apparmor, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled") // absent: not built in
	h.AppArmor = bytes.HasPrefix(apparmor, []byte("Y"))
	h.SELinux = exists("/sys/fs/selinux/enforce")
	h.KCore = exists("/proc/kcore")
	version, _, err := kernel.RunningVersion()
	h.TimeAtExec = err == nil && !version.Before(timeAtExec)
	return h, nil
}

func (h *Host) readLimits() error {
	for i := range h.HardLimits {
		var l unix.Rlimit
		if err := unix.Getrlimit(i, &l); err != nil {
			return fmt.Errorf("getrlimit %d: %w", i, err)
		}
		h.HardLimits[i] = l.Max
		if i == unix.RLIMIT_STACK {
			h.StackLimit = l.Cur
		}
	}
	return nil
}

// can reports whether the daemon has capability c.
func (h *Host) can(c int) bool { return h.Capabilities&(1<<c) != 0 }

// statusMask reads a hexadecimal field of proc_pid_status(5).
func statusMask(status []byte, field string) uint64 {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			mask, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64) // the kernel wrote it
			return mask
		}
	}
	return 0
}

func readNumber(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
