// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// ipcSysctls belong to the IPC namespace beside fs.mqueue.*: ipc_namespaces(7).
var ipcSysctls = []string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
	"kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
}

// sysctls takes over those that belong to a namespace of the container's own; others
// would change the host.
func (t *translation) sysctls() error {
	for _, name := range slices.Sorted(maps.Keys(t.linux.Sysctl)) {
		value := t.linux.Sysctl[name]
		if err := checkText("linux.sysctl: "+name, value); err != nil {
			return err
		}
		file, err := sysctlFile(name)
		if err != nil {
			return err
		}
		if err := t.checkSysctl(name, file); err != nil {
			return err
		}
		t.plan.Sysctls = append(t.plan.Sysctls, plan.Pair{Key: file, Value: value})
	}
	return nil
}

// sysctlFile is the path below /proc/sys. The first separator decides which of "."
// and "/" separates, the other is then part of a name: sysctl.d(5).
func sysctlFile(name string) (string, error) {
	file := name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		file = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, name)
	}
	if err := checkText("linux.sysctl", file); err != nil {
		return "", err
	}
	for element := range strings.SplitSeq(file, "/") {
		if element == "" || element == "." || element == ".." {
			return "", invalid("linux.sysctl: %q is not the name of a kernel parameter", name)
		}
	}
	return file, nil
}

func (t *translation) checkSysctl(name, file string) error {
	top, _, _ := strings.Cut(file, "/")
	switch {
	case slices.Contains(ipcSysctls, file) || strings.HasPrefix(file, "fs/mqueue/"):
		return t.needsNamespace(name, unix.CLONE_NEWIPC, "an ipc")
	case top == "net":
		return t.checkNetSysctl(name)
	case top == "user":
		return t.needsNamespace(name, unix.CLONE_NEWUSER, "a user")
	case file == "kernel/hostname":
		return invalid("linux.sysctl: %q conflicts with the field hostname; use that", name)
	case file == "kernel/domainname":
		return t.needsNamespace(name, unix.CLONE_NEWUTS, "a uts")
	}
	return invalid("linux.sysctl: %q belongs to no namespace and would change the host", name)
}

func (t *translation) needsNamespace(name string, flag uintptr, kind string) error {
	if t.spaces.has(flag) {
		return nil
	}
	return invalid("linux.sysctl: %q needs %s namespace, or it would change the host", name, kind)
}

// checkNetSysctl also refuses a network namespace path that is the host's own.
func (t *translation) checkNetSysctl(name string) error {
	if err := t.needsNamespace(name, unix.CLONE_NEWNET, "a network"); err != nil {
		return err
	}
	path := t.spaces[unix.CLONE_NEWNET]
	if path == "" {
		return nil
	}
	joined, err := os.Stat(path)
	if err != nil {
		return notFound("linux.sysctl: %q: network namespace: %v", name, err)
	}
	host, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return unready("linux.sysctl: %q: the daemon's network namespace: %v", name, err)
	}
	if os.SameFile(joined, host) {
		return invalid("linux.sysctl: %q would change the host: %q is the host's network namespace", name, path)
	}
	return nil
}
