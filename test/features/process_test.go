// SPDX-License-Identifier: Apache-2.0

package features

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// process alters the process of the spec.
func process(f func(*specs.Process)) change { return func(s *specs.Spec) { f(s.Process) } }

const capsOnly = "grep Cap /proc/self/status | tr -d '\\t' | cut -c4- | tr '\\n' ' '"

func TestProcess(t *testing.T) {
	b := newBox(t)
	b.check(t, []inside{
		{"user", process(func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}} }),
			"id -u; id -g; awk '/^Groups/ {print $2, $3}' /proc/self/status; echo $HOME", "1000\n1001\n5 6\n/tmp"},
		{"umask", process(func(p *specs.Process) { p.User.Umask = pointer(uint32(0o077)) }), "umask", "0077"},
		{"cwd", process(func(p *specs.Process) { p.Cwd = "/tmp" }), "pwd", "/tmp"},
		{"cwd is made", process(func(p *specs.Process) { p.Cwd = "/not/yet" }), "pwd", "/not/yet"},
		{"env", process(func(p *specs.Process) { p.Env = append(p.Env, "A=b c") }), "echo $A", "b c"},
		{"relative program", process(func(p *specs.Process) { p.Cwd, p.Args = "/bin", []string{"./busybox", "echo", "found"} }), "unused", "found"},
		{"rlimits", process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 99}, {Type: "RLIMIT_CORE"}}
		}), "ulimit -n; ulimit -Hn; ulimit -c", "77\n99\n0"},
		{"no_new_privs", process(func(p *specs.Process) { p.NoNewPrivileges = true }), "awk '/NoNewPrivs/ {print $2}' /proc/self/status", "1"},
		{"oom_score_adj", process(func(p *specs.Process) { p.OOMScoreAdj = pointer(400) }), "cat /proc/self/oom_score_adj", "400"},
		{"io priority", process(func(p *specs.Process) {
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		}), "ionice", "best-effort: prio 6"},
		{"scheduler", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5} }), "cut -d' ' -f19,41 /proc/self/stat", "5 3"},
		{"stdin is empty", nothing(), "read x || echo end", "end"},
		{"nothing inherited", nothing(), "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3"},
		{"standard links", nothing(), "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done | tr '\\n' ' '", "/proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 pts/ptmx"},
		{"stdout opens again as user", process(func(p *specs.Process) { p.User.UID = 1000 }), "echo again >/dev/stdout", "again"},
		{"keyring", func(s *specs.Spec) { s.Linux.MaskedPaths = nil }, "grep -q ' _ses' /proc/keys && echo own", "own"},
		{"session", nothing(), "cut -d' ' -f6 /proc/1/stat", "1"},
	})
}

func TestCapabilities(t *testing.T) {
	b := newBox(t)
	set := func(bounding, permitted, effective, inheritable, ambient []string) change {
		return process(func(p *specs.Process) {
			p.User.UID = 1000
			p.Capabilities = &specs.LinuxCapabilities{Bounding: bounding, Permitted: permitted, Effective: effective, Inheritable: inheritable, Ambient: ambient}
		})
	}
	kill, chown := "CAP_KILL", "CAP_CHOWN" // 1<<5, 1<<0
	b.check(t, []inside{
		{"five sets", set([]string{kill, chown, "CAP_NET_RAW"}, []string{kill, chown}, []string{kill}, []string{kill, chown}, []string{kill}), capsOnly,
			"Inh:0000000000000021 Prm:0000000000000020 Eff:0000000000000020 Bnd:0000000000002021 Amb:0000000000000020"},
		{"none", process(func(p *specs.Process) { p.Capabilities = &specs.LinuxCapabilities{} }), capsOnly,
			"Inh:0000000000000000 Prm:0000000000000000 Eff:0000000000000000 Bnd:0000000000000000 Amb:0000000000000000"},
		{"root gets the bounding set", process(func(p *specs.Process) {
			p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{chown}, Permitted: []string{chown}, Effective: []string{chown}}
		}), "chown 5 /tmp && echo chowned; mknod /tmp/x c 1 3 2>/dev/null || echo refused; hostname x 2>/dev/null || echo refused", "chowned\nrefused\nrefused"},
		{"a file's capability cannot exceed it", set([]string{chown}, nil, nil, nil, nil), "awk '/CapBnd/ {print $2}' /proc/self/status", "0000000000000001"},
	})
}

// Without CAP_SYS_RESOURCE the daemon cannot lower a score; the container runs with
// the daemon's, as with containerd's restrict_oom_score_adj.
func TestScoreThatCannotBeLowered(t *testing.T) {
	b := newBox(t)
	got, err := b.run(t, "cat /proc/self/oom_score_adj", process(func(p *specs.Process) { p.OOMScoreAdj = pointer(-900) }))
	if err != nil {
		t.Fatal(err)
	}
	want := "-900"
	if !allowed(t, "CAP_SYS_RESOURCE") {
		own, _ := os.ReadFile("/proc/self/oom_score_adj")
		want = strings.TrimSpace(string(own))
		if n := strings.Count(b.Log(), "oomScoreAdj"); n != 1 {
			t.Errorf("%d warnings in the daemon's log, want one", n)
		}
	}
	if got.out != want {
		t.Errorf("score %s, want %s", got.out, want)
	}
}

// allowed reports whether this process, and so the daemon, has a capability.
func allowed(t *testing.T, name string) bool {
	t.Helper()
	out, err := exec.Command("capsh", "--has-p="+name).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("capsh (libcap2-bin) is not there to ask for %s: %v: %s", name, err, out)
	}
	return err == nil
}

func TestProgramErrors(t *testing.T) {
	b := newBox(t)
	args := func(a ...string) change { return process(func(p *specs.Process) { p.Args = a }) }
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.refuse(t, []refusal{
		{"missing", args("/x"), `exec: "/x": no such file or directory in container`, errdefs.IsNotFound},
		{"not in PATH", args("nonesuch"), `exec: "nonesuch": executable file not found in $PATH`, errdefs.IsNotFound},
		{"a directory", args("/etc"), `exec: "/etc"`, nil},
		{"not executable", func(s *specs.Spec) {
			mounted("/data", "bind", data, "bind")(s)
			s.Process.Args = []string{"/data"}
		}, `exec: "/data": permission denied`, errdefs.IsPermissionDenied},
		{"no arguments", args(), "args", errdefs.IsInvalidArgument},
		{"relative cwd", process(func(p *specs.Process) { p.Cwd = "tmp" }), "cwd", errdefs.IsInvalidArgument},
		{"too long an argument", args("/bin/true", strings.Repeat("x", 200<<10)), "args", errdefs.IsInvalidArgument},
		{"unknown rlimit", process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONE"}} }), "RLIMIT_NONE", errdefs.IsInvalidArgument},
	})
}

// A full disk is an error that says so, and leaves nothing.
func TestFullDisk(t *testing.T) {
	b := newBox(t)
	records := filepath.Join(b.State, "io.containerd.runtime.v2.task", ".sardine", b.Namespace)
	if err := os.MkdirAll(records, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", records, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	got, err := b.run(t, "true")
	left, rerr := os.ReadDir(records)
	unmount(t, records)
	if err == nil || !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%+v, %v", got, err)
	}
	if rerr != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, rerr)
	}
	if got, err := b.run(t, "echo again"); err != nil || got.out != "again" {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}
