// SPDX-License-Identifier: Apache-2.0

package features

import (
	"encoding/json"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// filtered allows everything but what the rules say.
func filtered(rules ...specs.LinuxSyscall) change {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, Syscalls: rules}
	}
}

func refused(errno uint, names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &errno}
}

func TestSeccomp(t *testing.T) {
	b := newBox(t)
	const mkdir = "mkdir /tmp/x 2>&1"
	b.check(t, []inside{
		{"errno", filtered(refused(uint(unix.EPERM), "mkdir", "mkdirat")), mkdir, "mkdir: can't create directory '/tmp/x': Operation not permitted"},
		{"another errno", filtered(refused(uint(unix.EXDEV), "mkdir", "mkdirat")), mkdir, "mkdir: can't create directory '/tmp/x': Invalid cross-device link"},
		{"without no_new_privs", func(s *specs.Spec) {
			filtered(refused(uint(unix.EPERM), "mkdir"))(s)
			s.Process.NoNewPrivileges = false
		}, mkdir, "mkdir: can't create directory '/tmp/x': Operation not permitted"},
		{"with no_new_privs", func(s *specs.Spec) {
			filtered(refused(uint(unix.EPERM), "mkdir"))(s)
			s.Process.NoNewPrivileges = true
		}, mkdir, "mkdir: can't create directory '/tmp/x': Operation not permitted"},
		{"argument", filtered(specs.LinuxSyscall{Names: []string{"kill"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: uint64(unix.SIGUSR1), Op: specs.OpEqualTo}}}),
			"kill -0 $$ && echo allowed; kill -USR1 $$ 2>&1", "allowed\nsh: can't kill pid 1: Operation not permitted"},
		{"masked argument", filtered(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0o100, ValueTwo: 0o100, Op: specs.OpMaskedEqual}}}),
			"umask 0; mkdir -m 0700 /tmp/a 2>/dev/null || echo refused", "refused"},
		{"unknown names are skipped", filtered(refused(1, "no_such_syscall", "mkdir")), mkdir, "mkdir: can't create directory '/tmp/x': Operation not permitted"},
		{"mode is shown", filtered(refused(1, "mkdir")), "awk '/^Seccomp:/ {print $2}' /proc/self/status", "2"},
		{"unconfined", func(s *specs.Spec) { s.Linux.Seccomp = nil }, "awk '/^Seccomp:/ {print $2}' /proc/self/status", "0"},
	})
	t.Run("kill", func(t *testing.T) {
		got, err := b.run(t, "exec mkdir /tmp/x", filtered(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActKillProcess}))
		if err != nil || got.code != 128+uint32(unix.SIGSYS) {
			t.Errorf("exit code %d, %v", got.code, err)
		}
	})
	b.refuse(t, []refusal{
		{"unknown action", func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NONE"} }, "SCMP_ACT_NONE", errdefs.IsInvalidArgument},
		{"unknown architecture", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_NONE"}}
		}, "SCMP_ARCH_NONE", errdefs.IsInvalidArgument},
		{"notify without listener", filtered(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActNotify}), "istener", nil},
	})
}

// The listener reaches the agent with the container's state.
func TestSeccompAgent(t *testing.T) {
	b := newBox(t)
	path := filepath.Join(b.Dir, "agent")
	agent, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	states := make(chan specs.ContainerProcessState, 1)
	go func() { states <- receiveState(agent) }()
	got, err := b.run(t, "mkdir /tmp/x 2>&1", filtered(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActNotify}), func(s *specs.Spec) {
		s.Linux.Seccomp.ListenerPath, s.Linux.Seccomp.ListenerMetadata = path, "meta"
	})
	if err != nil || got.out != "mkdir: can't create directory '/tmp/x': Function not implemented" { // the agent went away
		t.Errorf("%q, %v", got.out, err)
	}
	select {
	case s := <-states:
		if s.Pid == 0 || s.Metadata != "meta" || s.State.ID == "" || len(s.Fds) != 1 || s.Fds[0] != specs.SeccompFdName {
			t.Errorf("state %+v", s)
		}
	case <-time.After(testnode.Patience):
		t.Error("the agent got nothing")
	}
}

// receiveState takes one message with one descriptor, and drops the descriptor.
func receiveState(agent *net.UnixListener) (state specs.ContainerProcessState) {
	conn, err := agent.AcceptUnix()
	if err != nil {
		return state
	}
	defer conn.Close()
	message, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(message, rights)
	if err != nil {
		return state
	}
	if m, err := unix.ParseSocketControlMessage(rights[:oobn]); err == nil && len(m) == 1 {
		if fds, err := unix.ParseUnixRights(&m[0]); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	if err := json.Unmarshal(message[:n], &state); err != nil {
		return specs.ContainerProcessState{}
	}
	return state
}
