// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/exits"
)

const bpffsDir = "/sys/fs/bpf"

// exitRecorder tries the eBPF program, and looks for the place where it outlives sardined.
func exitRecorder() []Finding {
	const lost = "exit codes of containers that end while sardined is down (instead: exit code by pidfd, else 255)"
	program := Finding{Name: "eBPF recorder", Lost: lost, Advice: "a kernel with BTF and CONFIG_BPF_JIT=y, root privileges"}
	return []Finding{program.found("loads and attaches", exits.TryBPF()), bpffs()}
}

func bpffs() Finding {
	f := Finding{Name: "bpffs", Lost: "exit codes of containers that end while sardined is down"}
	var statfs unix.Statfs_t
	if err := unix.Statfs(bpffsDir, &statfs); err != nil {
		return f.found("", fmt.Errorf("statfs %s: %w", bpffsDir, err))
	}
	f.Verdict, f.Detail = OK, "mounted at "+bpffsDir
	if statfs.Type != unix.BPF_FS_MAGIC {
		f.Verdict, f.Detail, f.Lost = Info, "not mounted at "+bpffsDir+"; sardined mounts it", ""
	}
	return f
}
