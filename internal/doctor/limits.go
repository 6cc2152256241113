// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// limits are what bounds the number of containers, seen from this process: a service
// manager may give sardined others.
func limits() []Finding {
	return []Finding{
		openFiles(),
		lockedMemory(),
		sysctlAtLeast("kernel/pid_max", 65536, "processes on the node", "the kernel runs out of pids"),
		sysctlAtLeast("kernel/threads-max", 32768, "threads on the node", "the kernel refuses new threads"),
		sysctlAtLeast("user/max_user_namespaces", 1024, "user namespaces", "containers with a user namespace are refused"),
		sysctlAtLeast("fs/inotify/max_user_instances", 512, "inotify instances", "programs in containers share this many"),
		sysResource(),
	}
}

func openFiles() Finding {
	const want = 65536
	f := Finding{Name: "open files", Lost: "sardined holds a few descriptors per container and runs out of them",
		Advice: "LimitNOFILE=infinity in the unit, or ulimit -n"}
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return f.found(limitText(limit.Max)+" at most", err).atLeast(limit.Max, want)
}

// lockedMemory matters to eBPF before Linux 5.11 only, and to programs that lock memory.
func lockedMemory() Finding {
	f := Finding{Name: "locked memory", Lost: "programs in containers cannot lock more", Advice: "LimitMEMLOCK=infinity in the unit"}
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
	f = f.found(limitText(limit.Max)+" bytes at most", err)
	if err == nil && limit.Max != unix.RLIM_INFINITY {
		f.Verdict = Info
	}
	return f
}

func limitText(limit uint64) string {
	if limit == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(limit, 10)
}

// sysctlAtLeast compares a number below /proc/sys with what a node of many containers wants.
func sysctlAtLeast(path string, want uint64, name, lost string) Finding {
	key := strings.ReplaceAll(path, "/", ".")
	f := Finding{Name: name, Lost: lost, Advice: fmt.Sprintf("sysctl -w %s=%d", key, want)}
	text, err := os.ReadFile("/proc/sys/" + path)
	if err != nil {
		return f.found("", err)
	}
	value, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return f.found(fmt.Sprintf("%s = %d", key, value), err).atLeast(value, want)
}

// sysResource looks for CAP_SYS_RESOURCE, which root in a container often lacks.
func sysResource() Finding {
	f := Finding{Name: "CAP_SYS_RESOURCE",
		Lost:   "oom_score_adj cannot be lowered, nor limits raised above sardined's own (instead: what is allowed, with a warning)",
		Advice: "run sardined with all capabilities"}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return f.found("", err)
	}
	if os.Geteuid() != 0 {
		return f.unknown(errors.New("sardined as root may have it"))
	}
	effective, err := effectiveCapabilities(string(text))
	if err == nil && effective&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		err = fmt.Errorf("not among the effective capabilities (%x)", effective)
	}
	return f.found("effective", err)
}

// effectiveCapabilities reads CapEff of a /proc/PID/status.
func effectiveCapabilities(status string) (uint64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, errors.New("no CapEff in /proc/self/status")
}
