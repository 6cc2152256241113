// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// become is the second half: everything about the process itself, ending in exec.
func (s *session) become() {
	p := &s.plan.Process
	s.check("session", s.newSession())
	if p.KeyringName != "" {
		s.check("session keyring", s.joinKeyring())
	}
	s.check("scheduling", schedule(p))
	program, err := findProgram(p)
	s.check("find program", err)

	s.check("report ready", s.send(plan.Ready, nil, plan.NoFD))
	s.check("wait for start", s.await(plan.Start))

	for i := range s.plan.StartHooks {
		s.check("startContainer hook", runHook(&s.plan.StartHooks[i], s.plan.StartState))
	}
	s.shrinkTable()
	s.restrict()
	s.check("exec "+p.Args[0], s.exec(program))
}

// newSession starts a session and, when there is a terminal, takes it.
func (s *session) newSession() error {
	if _, err := unix.Setsid(); err != nil {
		return &kernel.Error{Call: "setsid", Err: err}
	}
	if s.plan.Root == nil && s.plan.Process.Terminal {
		root, err := open("/", unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		s.root = root
		if s.slave, err = s.openTerminal(); err != nil {
			return err
		}
	}
	if !s.plan.Process.Terminal {
		return nil
	}
	return takeTerminal(s.slave)
}

// restrict gives up every privilege that the process is not to have. A seccomp
// filter needs either no_new_privs or CAP_SYS_ADMIN: with the first it comes
// last, so that the calls made here need not be allowed by it.
func (s *session) restrict() {
	p := &s.plan.Process
	s.check("owner of stdio", ownStdio(p.UID))
	s.check("rlimits", setRlimits(p.Rlimits))
	if !p.NoNewPrivs {
		s.check("seccomp", s.loadSeccomp())
	}
	s.check("security label", s.setLabel())
	s.check("working directory", enterDirectory(p.Cwd, true))
	s.check("credentials", setCredentials(p))
	s.check("working directory", enterDirectory(p.Cwd, false))
	if p.NoNewPrivs {
		s.check("no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		s.check("seccomp", s.loadSeccomp())
	}
	umask := 0o022
	if p.Umask >= 0 {
		umask = p.Umask
	}
	unix.Umask(umask)
}

// enterDirectory changes to the working directory. It is called before and after the
// change of user, since either may be the one who may enter it: a failure of
// the first attempt is left to the second.
func enterDirectory(path string, mayFail bool) error {
	if err := unix.Chdir(path); err != nil {
		if mayFail && (err == unix.EACCES || err == unix.EPERM) {
			return nil
		}
		if !mayFail && err == unix.EACCES && insideRoot() == nil {
			return nil // entered before with more rights
		}
		return &kernel.Error{Call: "chdir", Object: path, Err: err}
	}
	return insideRoot()
}

// insideRoot refuses a working directory that is not below the root: a magic link
// to a leaked descriptor could have led out.
func insideRoot() error {
	var buf [unix.PathMax]byte
	n, err := unix.Getcwd(buf[:])
	if err != nil {
		return &kernel.Error{Call: "getcwd", Err: err}
	}
	if n == 0 || buf[0] != '/' {
		return errors.New("the working directory is outside the container's root")
	}
	return nil
}

// exec becomes the program. syscall.Exec also restores the RLIMIT_NOFILE that the Go
// runtime raised at its start, unless setRlimits has set another.
func (s *session) exec(program string) error {
	p := &s.plan.Process
	return syscall.Exec(program, p.Args, environment(p))
}
