// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
)

// Exec makes the Request for a further process of a running container, whose first
// process is pid, held by pidfd: all its namespaces are joined. spec is the
// container's; process decides, and where it leaves capabilities, labels, the oom score,
// rlimits, scheduling or affinity out, the container's apply. Seccomp and
// personality are the container's. pidfd is kept in the Request.
func Exec(spec *specs.Spec, process *specs.Process, pid int, pidfd *os.File, opts Options) (*launch.Request, []string, error) {
	if process == nil {
		return nil, nil, invalid("exec in container %q: there is no process", opts.ID)
	}
	t := newTranslation(spec, &opts)
	err := t.joinProcess(pid, pidfd)
	if err == nil {
		err = t.execProcess(process)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("exec in container %q: %w", opts.ID, err)
	}
	return t.req, t.warnings, nil
}

func (t *translation) execProcess(process *specs.Process) error {
	p := inherit(process, t.spec.Process)
	if err := t.process(&p); err != nil {
		return err
	}
	mask, err := execAffinity(p.ExecCPUAffinity)
	t.plan.Process.CPUAffinity = mask
	return err
}

// inherit completes process by the container's own.
func inherit(process, container *specs.Process) specs.Process {
	p := *process
	if container == nil {
		return p
	}
	if p.Capabilities == nil {
		p.Capabilities = container.Capabilities
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = container.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = container.SelinuxLabel
	}
	if p.OOMScoreAdj == nil {
		p.OOMScoreAdj = container.OOMScoreAdj
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = container.Rlimits
	}
	if p.Scheduler == nil {
		p.Scheduler = container.Scheduler
	}
	if p.IOPriority == nil {
		p.IOPriority = container.IOPriority
	}
	if p.ExecCPUAffinity == nil {
		p.ExecCPUAffinity = container.ExecCPUAffinity
	}
	if p.User.Umask == nil {
		p.User.Umask = container.User.Umask
	}
	return p
}

// processNamespaces are the files below /proc/<pid>/ns and their flags.
var processNamespaces = []struct {
	file string
	flag uintptr
}{
	{"cgroup", unix.CLONE_NEWCGROUP}, {"ipc", unix.CLONE_NEWIPC}, {"mnt", unix.CLONE_NEWNS},
	{"net", unix.CLONE_NEWNET}, {"pid", unix.CLONE_NEWPID}, {"time", unix.CLONE_NEWTIME},
	{"user", unix.CLONE_NEWUSER}, {"uts", unix.CLONE_NEWUTS},
}

// joinProcess joins the namespaces in which pid differs from the daemon. Joining one's
// own user namespace is an error, and the others would be a waste.
func (t *translation) joinProcess(pid int, pidfd *os.File) error {
	t.spaces = namespaces{}
	n := &t.req.Namespaces
	n.Process = pidfd
	for _, ns := range processNamespaces {
		differs, err := differs(pid, ns.file)
		if errors.Is(err, fs.ErrNotExist) {
			return unready("the container's process %d has exited", pid)
		}
		if err != nil {
			return fmt.Errorf("namespaces of process %d: %w", pid, err)
		}
		if differs {
			n.ProcessFlags |= ns.flag
			t.spaces[ns.flag] = "/proc/" + strconv.Itoa(pid) + "/ns/" + ns.file
		}
	}
	return nil
}

// differs compares a namespace of pid with the daemon's. A kernel without this kind has
// it for neither.
func differs(pid int, file string) (bool, error) {
	ours, err := os.Readlink("/proc/self/ns/" + file)
	if err != nil {
		return false, nil
	}
	theirs, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + file)
	return ours != theirs, err
}
