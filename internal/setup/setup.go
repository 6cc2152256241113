// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// Run is the whole life of sardine-init. joinError is what joining the namespaces
// named on the command line gave, 0 for success. Run does not return: the process
// becomes the user's program or ends with status 1 after telling the daemon why.
func Run(joinError syscall.Errno) {
	c := control{fd: plan.ControlFD}
	if err := prepare(); err != nil {
		c.fail("prepare", err)
	}
	if joinError != 0 {
		c.fail("join user namespace", &kernel.Error{Call: "setns", Err: joinError})
	}
	p, err := c.receivePlan()
	if err != nil {
		exit() // the daemon is gone; there is nobody to tell
	}
	if p.Spawn != 0 {
		c.check("clone", spawn(&c, p.Spawn))
		unix.Exit(0)
	}
	s := session{control: &c, plan: p}
	s.isolate()
	if p.Root != nil {
		s.furnish()
	}
	s.become()
}

// session is one container process in the making.
type session struct {
	*control
	plan  *plan.Plan
	host  hostFiles
	root  int // the container's root directory
	slave int // the terminal, when Plan.Process.Terminal is set
}

// prepare makes sure that nothing but 0, 1 and 2 reaches the user's program, and
// that files are made with the modes asked for.
func prepare() error {
	unix.Umask(0)
	err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	if err == unix.ENOSYS || err == unix.EINVAL {
		return closeOnExecAll()
	}
	return err
}

// closeOnExecAll is for kernels before 5.11. Descriptors given to sardine-init are
// numbered without gaps.
func closeOnExecAll() error {
	for fd := 3; ; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil
		}
	}
}

// isolate enters or leaves what clone could not: see plan.Plan for why.
func (s *session) isolate() {
	p := s.plan
	s.check("open host files", s.host.open(p))
	if p.UnshareCgroup {
		s.check("cgroup namespace", kernel.Unshare(unix.CLONE_NEWCGROUP, "cgroup"))
	}
	if p.JoinCgroup != plan.NoFD {
		s.check("join cgroup namespace", kernel.Setns(p.JoinCgroup, unix.CLONE_NEWCGROUP, "cgroup namespace"))
	}
	if len(p.TimeOffsets) > 0 {
		s.check("time namespace", enterTimeNamespace(p.TimeOffsets))
	}
	if p.JoinMount != plan.NoFD {
		s.check("join mount namespace", joinMount(p.JoinMount))
	}
	if p.Hostname != "" {
		s.check("hostname", unix.Sethostname([]byte(p.Hostname)))
	}
	if p.Domainname != "" {
		s.check("domainname", unix.Setdomainname([]byte(p.Domainname)))
	}
}

// furnish builds the container's file system in its own mount namespace and makes
// it the root.
func (s *session) furnish() {
	r := s.plan.Root
	s.check("detach from the host's mounts", kernel.Mount("", "/", "", uintptr(r.Propagation), ""))
	s.check("attach root file system", attach(r))
	s.root = r.FD
	// A tree copied from a shared mount of the host is the host's peer still: what
	// is mounted in it would appear there, too, and pivot_root(2) refuses it.
	slave := unix.MountAttr{Propagation: unix.MS_SLAVE}
	s.check("detach root file system", kernel.MountSetattr(r.FD, true, &slave, "/"))

	for i := range s.plan.Mounts {
		m := &s.plan.Mounts[i]
		s.check("mount "+m.Destination, s.mount(m))
	}
	for i := range s.plan.Devices {
		d := &s.plan.Devices[i]
		s.check("device "+d.Path, s.device(d))
	}
	for _, l := range s.plan.Links {
		s.check("link "+l.Path, s.link(l))
	}
	if s.plan.HostHooks {
		s.check("hooks", s.ask(plan.Hooks, nil, plan.HooksDone))
	}
	for _, v := range s.plan.Sysctls {
		s.check("sysctl "+v.Key, kernel.WriteFile(s.host.proc, "sys/"+v.Key, v.Value))
	}
	for _, path := range s.plan.Readonly {
		s.check("read-only path "+path, s.readonly(path))
	}
	for _, path := range s.plan.Masked {
		s.check("masked path "+path, s.mask(path))
	}
	if s.plan.Process.Terminal {
		s.check("terminal", s.terminal())
	}
	cwd, err := s.directory(s.plan.Process.Cwd)
	s.check("working directory", err)
	unix.Close(cwd)
	for i := range s.plan.CreateHooks {
		s.check("createContainer hook", runHook(&s.plan.CreateHooks[i], s.plan.CreateState))
	}
	s.check("pivot_root", kernel.PivotRoot(s.root))
	s.check("root mount", s.finishRoot(r))
}

// attach puts the root file system into this mount namespace.
func attach(r *plan.Root) error {
	const flags = unix.O_PATH | unix.O_DIRECTORY
	at, err := open(r.At, flags)
	if err != nil {
		at, err = open("/", flags)
	}
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return kernel.MoveMount(r.FD, at, r.At)
}

// finishRoot applies what must wait until nothing is created in the root any more.
func (s *session) finishRoot(r *plan.Root) error {
	attr := unix.MountAttr{Propagation: r.After}
	if r.Readonly {
		attr.Attr_set = unix.MOUNT_ATTR_RDONLY
	}
	recursive := r.After&unix.MS_REC != 0
	attr.Propagation &^= unix.MS_REC
	if recursive && r.Readonly { // read-only is for the root mount alone
		if err := kernel.MountSetattr(s.root, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, "/"); err != nil {
			return err
		}
		attr.Attr_set = 0
	}
	if attr == (unix.MountAttr{}) {
		return nil
	}
	return kernel.MountSetattr(s.root, recursive, &attr, "/")
}
