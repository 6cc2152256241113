// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
)

func capability(bits ...uint) (mask uint64) {
	for _, b := range bits {
		mask |= 1 << b
	}
	return mask
}

// Each attribute of a process is read back by the process itself.
func TestProcessAttributes(t *testing.T) {
	raised := int64(321)
	personality := uint64(0x0008) // PER_LINUX32
	for name, c := range map[string]struct {
		change       func(*plan.Process)
		script, want string
	}{
		"user and groups": {func(p *plan.Process) { p.UID, p.GID, p.Groups = 1000, 1001, []uint32{5, 6} },
			"id -u; id -g; grep Groups /proc/self/status", "1000\n1001\nGroups:\t5 6"},
		"umask":         {func(p *plan.Process) { p.Umask = 0o077 }, "umask", "0077"},
		"default umask": {func(p *plan.Process) {}, "umask", "0022"},
		"capabilities": {func(p *plan.Process) {
			c := capability(unix.CAP_KILL, unix.CAP_CHOWN)
			p.Capabilities = &plan.Capabilities{Bounding: c | 1<<unix.CAP_NET_RAW, Permitted: c, Effective: 1 << unix.CAP_KILL, Inheritable: c, Ambient: 1 << unix.CAP_KILL}
			p.UID = 1000
		}, "grep Cap /proc/self/status | tr -d '\t'", "CapInh:0000000000000021\nCapPrm:0000000000000020\nCapEff:0000000000000020\nCapBnd:0000000000002021\nCapAmb:0000000000000020"},
		"no capabilities": {func(p *plan.Process) { p.Capabilities = nil },
			"grep CapEff /proc/self/status | tr -d '\t'", "CapEff:0000000000000000"},
		"no_new_privs": {func(p *plan.Process) { p.NoNewPrivs = true },
			"grep NoNewPrivs /proc/self/status | tr -d '\t'", "NoNewPrivs:1"},
		"rlimits": {func(p *plan.Process) {
			p.Rlimits = []plan.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 77, Max: 99}, {Resource: unix.RLIMIT_CORE}}
		}, "ulimit -n; ulimit -Hn; ulimit -c", "77\n99\n0"},
		"oom score":         {func(p *plan.Process) { p.OOMScoreAdj = &raised }, "cat /proc/self/oom_score_adj", "321"},
		"nice":              {func(p *plan.Process) { p.Scheduler = &plan.Scheduler{Nice: 7} }, "cut -d' ' -f19 /proc/self/stat", "7"},
		"batch":             {func(p *plan.Process) { p.Scheduler = &plan.Scheduler{Policy: unix.SCHED_BATCH} }, "cut -d' ' -f41 /proc/self/stat", "3"},
		"affinity":          {func(p *plan.Process) { p.CPUAffinity = []byte{2, 0, 0, 0, 0, 0, 0, 0} }, "grep Cpus_allowed_list /proc/self/status | cut -f2", "1"},
		"io priority":       {func(p *plan.Process) { p.IOPriority = 3 << 13 }, "ionice", "idle"},
		"personality":       {func(p *plan.Process) { p.Personality = &personality }, "uname -m", "i686"},
		"cwd is made":       {func(p *plan.Process) { p.Cwd = "/new/dir" }, "pwd", "/new/dir"},
		"home":              {func(p *plan.Process) { p.UID = 12 }, "echo $HOME", "/var/games"},
		"keyring":           {func(p *plan.Process) { p.KeyringName = "_ses.x" }, "cat /proc/keys | grep -c '_ses.x'", "1"},
		"nothing inherited": {func(p *plan.Process) {}, "ls /proc/self/fd", "0\n1\n2\n3"}, // 3 is ls's own
	} {
		t.Run(name, func(t *testing.T) {
			root := image(t)
			if err := os.WriteFile(root+"/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\ngames:x:12:12::/var/games:/x\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			req := request(overlayOn(t, root), "sh", "-c", c.script)
			c.change(&req.Plan.Process)
			res, err := outcome(t, newLauncher(t), req, launch.Host{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(res.output); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// filter is a seccomp program: syscall nr gets action, everything else is allowed.
func filter(nr, action uint32) []byte {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: nr},
		{Code: unix.BPF_RET | unix.BPF_K, K: action},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	var b []byte
	for _, f := range program {
		b = binary.NativeEndian.AppendUint16(b, f.Code)
		b = append(b, f.Jt, f.Jf)
		b = binary.NativeEndian.AppendUint32(b, f.K)
	}
	return b
}

func TestSeccomp(t *testing.T) {
	for _, noNewPrivs := range []bool{false, true} {
		out := sh(t, "mkdir /tmp/x 2>&1; ls /tmp", func(r *launch.Request) {
			r.Plan.Process.NoNewPrivs = noNewPrivs
			r.Plan.Process.Seccomp = &plan.Seccomp{Program: filter(unix.SYS_MKDIR, unix.SECCOMP_RET_ERRNO|uint32(unix.EDOM))}
		})
		if !strings.Contains(out, "can't create directory") || strings.Contains(out, "\nx") {
			t.Errorf("noNewPrivs=%v: got %q", noNewPrivs, out)
		}
	}
}

// The listener reaches the daemon before the program runs.
func TestSeccompListener(t *testing.T) {
	l := newLauncher(t)
	for _, noNewPrivs := range []bool{false, true} {
		req := request(overlayOn(t, image(t)), "mkdir", "/tmp/x")
		req.Plan.Process.NoNewPrivs = noNewPrivs
		req.Plan.Process.Seccomp = &plan.Seccomp{Program: filter(unix.SYS_MKDIR, unix.SECCOMP_RET_USER_NOTIF), Notify: true}
		var listener *os.File
		res, err := outcome(t, l, req, launch.Host{SeccompListener: func(_ context.Context, _ int, f *os.File) error {
			listener = f
			return f.Close() // nobody answers: the call fails with ENOSYS
		}})
		if err != nil {
			t.Fatal(err)
		}
		if listener == nil || res.code == 0 || !strings.Contains(res.output, "Function not implemented") {
			t.Errorf("noNewPrivs=%v: listener %v, code %d, %q", noNewPrivs, listener, res.code, res.output)
		}
	}
}

func TestBornInCgroup(t *testing.T) {
	root := image(t)
	host, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	group, err := host.New(cgroup.Config{ID: "launch-test", Path: "/sardine-launch-test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Create(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := group.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	l := newLauncher(t)
	req := request(overlayOn(t, root), "sleep", "1000")
	p, err := l.Launch(context.Background(), req, launch.Stdio{}, group, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	outside, err := exec.Command("cat", fmt.Sprintf("/proc/%d/cgroup", p.Pid)).Output()
	if err != nil {
		t.Error(err)
	}
	inside, err := outcome(t, l, further(p, false, "cat /proc/1/cgroup"), launch.Host{})
	if err != nil {
		t.Error(err)
	}
	if err := group.Kill(); err != nil {
		t.Error(err)
	}
	if code := wait(t, p); code != 128+int(unix.SIGKILL) {
		t.Errorf("code %d", code)
	}
	for line := range strings.Lines(string(outside)) {
		if !strings.HasSuffix(line, "/sardine-launch-test\n") && !strings.Contains(line, "name=") {
			t.Errorf("not born in its cgroup: %s", line)
		}
	}
	for line := range strings.Lines(inside.output) {
		if !strings.HasSuffix(line, ":/\n") {
			t.Errorf("its cgroup namespace shows %s", line)
		}
	}
}

func TestCancelledLaunchLeavesNothing(t *testing.T) {
	root := image(t)
	l := newLauncher(t)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	req := request(overlayOn(t, root), "true")
	req.Plan.CreateHooks = []plan.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1000"}}}
	if _, err := l.Launch(ctx, req, launch.Stdio{}, nil, launch.Host{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	// Launch has reaped it: there is no child left to wait for.
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("a child is left: %v", err)
	}
}

// Whoever finds sardine-init through /proc cannot change what the next container runs.
func TestInitCannotBeChanged(t *testing.T) {
	l := newLauncher(t)
	p, err := l.Launch(context.Background(), request(overlayOn(t, image(t)), "true"), launch.Stdio{}, nil, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	defer wait(t, p)
	defer p.Close() // it was never started and ends
	exe := fmt.Sprintf("/proc/%d/exe", p.Pid)
	if target, err := os.Readlink(exe); err != nil || !strings.HasPrefix(target, "/memfd:sardine-init") {
		t.Fatalf("%s is %s, %v", exe, target, err)
	}
	for _, flags := range []int{os.O_WRONLY, os.O_RDWR | os.O_TRUNC} {
		f, err := os.OpenFile(exe, flags, 0)
		if err == nil {
			_, err = f.Write([]byte("x"))
			f.Close()
		}
		if err == nil {
			t.Errorf("written with flags %#x", flags)
		}
	}
}
