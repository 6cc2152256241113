// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"os"

	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// Request describes a process to launch. It is made by translation of an OCI
// spec, without side effects; the Launcher opens every path in it.
type Request struct {
	// Plan is sent to sardine-init after the Launcher has filled its descriptor fields.
	Plan *plan.Plan

	Namespaces Namespaces

	// Rootfs are the mounts of the root file system, the last of which is the root;
	// ignored when Plan.Root is nil. A single directory is Mount{Type: "bind"}.
	Rootfs []rootfs.Mount

	// RootMapping makes the root file system an idmapped mount; nil leaves it.
	RootMapping *rootfs.Mapping

	// Binds are the host paths bound into the container.
	Binds []Bind

	// DeviceNodes are host device nodes bound instead of made, by index in Plan.Devices
	// (a user namespace may not mknod).
	DeviceNodes map[int]string
}

// Namespaces says which namespaces the process gets.
type Namespaces struct {
	New  uintptr // CLONE_NEW* flags; CLONE_NEWCGROUP and CLONE_NEWTIME are left to the Plan
	Join []Join  // in any order

	// Process is the pidfd of a process whose namespaces ProcessFlags are joined,
	// for a further process of a running container; nil for none. The Launcher does
	// not close it.
	Process      *os.File
	ProcessFlags uintptr // CLONE_NEW* flags; only those in which it differs from the daemon

	// The id maps of a new user namespace, empty when New has no CLONE_NEWUSER.
	UIDs, GIDs []rootfs.IDMap
}

// Join is an existing namespace to enter.
type Join struct {
	Flag uintptr // one CLONE_NEW* flag
	Path string  // e.g. /proc/12/ns/net or a pinned file
}

// Bind is a host path attached in the container as Plan.Mounts[Mount], which says
// with which attributes and propagation.
type Bind struct {
	Mount     int
	Source    string
	Tree      *os.File // a detached mount instead of Source; the Launcher does not close it
	Recursive bool
	Mapping   *rootfs.Mapping // idmapped mount, nil for none
	MapAll    bool            // the mapping covers submounts too (ridmap)
}

// Stdio are the descriptors the program gets as 0, 1 and 2. Nil means /dev/null.
// With Plan.Process.Terminal they are ignored: the program gets the terminal.
// The Launcher does not close them.
type Stdio [3]*os.File

// Cgroup is where the process is born. It is implemented by the cgroup package.
type Cgroup interface {
	// Enter moves the calling thread into the cgroup v1 hierarchies, so that a
	// child is born there. No-op on cgroup v2.
	Enter() error
	// FD opens the cgroup v2 directory for CLONE_INTO_CGROUP; -1 when there is none.
	// The Launcher closes it.
	FD() (int, error)
	// NeedsAttach says that a process cannot be born in the cgroup (systemd driver).
	NeedsAttach() bool
	// Attach moves pid into it, before it runs any code but sardine-init's.
	Attach(pid int) error
}

// Host is what the Launcher calls back while a process is being prepared.
type Host struct {
	// Turn is called right before the clone, when others that are waiting for theirs are through. An error gives up.
	Turn func() error
	// Born is called when the process exists and waits for its Plan. An error kills it.
	// From a successful return on, reaping the process is the callee's; when Born is
	// nil or fails the Launcher reaps it if the launch fails.
	Born func(p *Process) error
	// RunHooks runs prestart and createRuntime hooks; called when Plan.HostHooks is set.
	RunHooks func(ctx context.Context, pid int) error
	// Terminal takes over the pty master; called when Plan.Process.Terminal is set.
	Terminal func(master *os.File) error
	// SeccompListener takes over the listener; called when Plan.Process.Seccomp.Notify is set.
	SeccompListener func(ctx context.Context, pid int, listener *os.File) error
}
