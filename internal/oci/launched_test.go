// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// launcher starts containers from the sardine-init of SARDINE_INIT or one built here.
func launcher(t *testing.T) *launch.Launcher {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("launching containers needs root")
	}
	path := os.Getenv("SARDINE_INIT")
	if path == "" {
		path = filepath.Join(t.TempDir(), "sardine-init")
		build := exec.Command("go", "build", "-ldflags", "-s -w -E sardine_entry", "-o", path, "github.com/sardine-run/sardine/cmd/sardine-init")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build sardine-init: %v\n%s", err, out)
		}
	}
	l, err := launch.New(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// busyboxRoot is a directory with a static busybox, as a snapshotter would give it.
func busyboxRoot(t *testing.T) []rootfs.Mount {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skipf("install busybox-static: %v", err)
	}
	// Not t.TempDir: that one is closed to the ids of a user namespace.
	dir, err := os.MkdirTemp("", "oci-root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"", "bin", "full/inner", "vol", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"bin/busybox": program, "full/file": []byte("kept\n"), "full/inner/deep": []byte("deep\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return []rootfs.Mount{{Type: "bind", Source: dir, Options: []string{"rbind"}}}
}

// run launches a changed default spec and returns what its script printed.
func run(t *testing.T, l *launch.Launcher, script string, m mutation) string {
	t.Helper()
	spec, opts := readSpec(t, "containerd-default.json"), testOptions()
	host, err := DetectHost()
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Rootfs = host, busyboxRoot(t)
	prelude := `for a in $(/bin/busybox --list); do /bin/busybox ln -s busybox /bin/$a 2>/dev/null; done; `
	spec.Process.Args = []string{"/bin/busybox", "sh", "-c", prelude + script}
	spec.Process.Env = []string{"PATH=/bin"}
	spec.Process.Capabilities.Inheritable = nil
	m(spec, &opts)
	req, _, err := Translate(spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	out, code := launched(t, l, req)
	if code != 0 {
		t.Fatalf("status %d: %s", code, out)
	}
	return out
}

func launched(t *testing.T, l *launch.Launcher, req *launch.Request) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := l.Launch(context.Background(), req, launch.Stdio{nil, w, w}, nil, launch.Host{})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Pidfd.Close()
	startErr := p.Start(context.Background())
	var out bytes.Buffer
	if _, err := io.Copy(&out, r); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	if startErr != nil {
		t.Fatal(startErr)
	}
	return strings.TrimSpace(out.String()), status.ExitStatus()
}

func bindTo(destination, source string, options ...string) mutation {
	return mount(specs.Mount{Destination: destination, Type: "bind", Source: source, Options: options})
}

func same(*specs.Spec, *Options) {}

// TestLaunched looks at what a translated spec does from inside the container.
func TestLaunched(t *testing.T) {
	l := launcher(t)
	volume := t.TempDir()
	sub := filepath.Join(volume, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", sub, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(sub, unix.MNT_DETACH) })
	own := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	mapped := both(namespace(specs.UserNamespace, ""), onLinux(func(s *specs.Linux) { s.UIDMappings, s.GIDMappings = own, own }))
	const options = `grep " %s " /proc/self/mountinfo | cut -d" " -f%s`
	for _, test := range []struct {
		name, script, want string
		mutate             mutation
	}{
		{"default mounts", `cut -d" " -f5 /proc/self/mountinfo | grep -v /proc/ | grep -v firmware | sort | tr '\n' ' '`, "/ /dev /dev/mqueue /dev/pts /dev/shm /proc /run /sys", same},
		{"links", "cd /dev; for l in fd ptmx stderr stdin stdout; do readlink $l; done | tr '\\n' ' '", "/proc/self/fd pts/ptmx /proc/self/fd/2 /proc/self/fd/0 /proc/self/fd/1", same},
		{"devices", "cd /dev; stat -c %n:%t:%T full null random tty urandom zero | tr '\\n' ' '", "full:1:7 null:1:3 random:1:8 tty:5:0 urandom:1:9 zero:1:5", same},
		{"read-only root", "touch /x 2>/dev/null || echo refused; touch /run/x && echo written", "refused\nwritten", func(s *specs.Spec, _ *Options) {
			s.Root.Readonly = true
		}},
		{"mount options", fmt.Sprintf(options, "/x", "6"), "ro,nosuid,nodev,noexec,noatime,nodiratime", tmpfs("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime")},
		{"file system options", `df -k /x | tail -1 | tr -s " " | cut -d" " -f2; stat -c %a /x`, "64\n700", tmpfs("size=64k,mode=700")},
		{"tmpcopyup", "cat /full/file /full/inner/deep; touch /full/new", "kept\ndeep", mount(specs.Mount{Destination: "/full", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})},
		{"bind", "ls /v; touch /v/sub/x 2>&1 | head -1; ls /v/sub", "sub\nx", bindTo("/v", volume, "rbind")},
		{"bind, not recursive", "grep -c /v/sub /proc/self/mountinfo || true", "0", bindTo("/v", volume, "bind")},
		{"ro is not recursive", "touch /v/a 2>/dev/null || echo ro; touch /v/sub/b && echo rw; rm /v/sub/b", "ro\nrw", bindTo("/v", volume, "rbind", "ro")},
		{"rro is recursive", "touch /v/a 2>/dev/null || echo ro; touch /v/sub/b 2>/dev/null || echo ro", "ro\nro", bindTo("/v", volume, "rbind", "rro")},
		{"bind of a file", "test -f /etc/p && head -c 4 /etc/p", "root", bindTo("/etc/p", "/etc/passwd", "bind", "ro")},
		{"propagation", fmt.Sprintf(options, "/p", "7") + "; " + fmt.Sprintf(options, "/u", "7"), "-\nunbindable", both(bindTo("/p", volume, "bind", "private"), bindTo("/u", volume, "bind", "unbindable"))},
		{"idmapped bind", "stat -c %u /v", "7", both(
			mount(specs.Mount{Destination: "/v", Type: "bind", Source: volume, Options: []string{"bind", "idmap"},
				UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7, Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7, Size: 1}}}),
			onProcess(func(p *specs.Process) { p.User.UID, p.User.GID = 0, 0 }))},
		{"cgroup v1 tree", "ls /sys/fs/cgroup", "memory", both(func(_ *specs.Spec, o *Options) {
			o.Cgroup.Hierarchies = o.Cgroup.Hierarchies[:1]
			o.Cgroup.Hierarchies[0].Value = "/sys/fs/cgroup/memory"
		}, without(specs.CgroupNamespace), mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}}))},
		{"user namespace", `id -u; tr -s " " </proc/self/uid_map; stat -c %t:%T /dev/null; echo x >/dev/null; stat -c %u /full`, "0\n 0 100000 65536\n1:3\n0", both(mapped, func(_ *specs.Spec, o *Options) {
			o.Rootfs[0].Options = append(o.Rootfs[0].Options, "uidmap=0:100000:65536", "gidmap=0:100000:65536")
		})},
		{"names", "hostname; cat /proc/sys/kernel/domainname", "h\nd", func(s *specs.Spec, _ *Options) { s.Hostname, s.Domainname = "h", "d" }},
		{"sysctls", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced", "1\n1", onLinux(func(l *specs.Linux) {
			l.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}
		})},
		{"time namespace", "cut -d' ' -f1 /proc/uptime | cut -d. -f1 | grep -c ....... ; cat /proc/self/timens_offsets | tr -s ' ' | tr '\\n' ';'", "1\nmonotonic 1000000 0;boottime 5000000 0;", both(namespace(specs.TimeNamespace, ""), onLinux(func(l *specs.Linux) {
			l.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1000000}, "boottime": {Secs: 5000000}}
		}))},
		{"ids", "id -u; id -g; id -G; umask; pwd", "5\n6\n6 7 8\n0027\n/full", onProcess(func(p *specs.Process) {
			umask := uint32(0o27)
			p.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7, 8}, Umask: &umask}
			p.Cwd = "/full"
		})},
		{"capabilities", "grep Cap /proc/self/status | cut -f2 | tr '\\n' ' '", "0000000000000400 0000000000000400 0000000000000400 0000000000000c01 0000000000000400", onProcess(func(p *specs.Process) {
			p.User.UID = 5
			p.Capabilities = &specs.LinuxCapabilities{
				Bounding: []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST"}, Permitted: []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"},
				Effective: []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}, Inheritable: []string{"CAP_NET_BIND_SERVICE"}, Ambient: []string{"CAP_NET_BIND_SERVICE"},
			}
		})},
		{"limits and scheduling", "ulimit -n; cat /proc/self/oom_score_adj; ionice -p $$; cut -d' ' -f41 /proc/self/stat; grep NoNewPrivs /proc/self/status | cut -f2; uname -m", "77\n300\nidle\n3\n1\ni686", both(onLinux(func(l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		}), onProcess(func(p *specs.Process) {
			score := 300
			p.OOMScoreAdj = &score
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 88}}
			p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch}
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		}))},
		{"masked and read-only", "cat /proc/keys; ls /proc/acpi; echo 1 2>/dev/null >/proc/sys/kernel/panic || echo refused", "refused", same},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := run(t, l, test.script, test.mutate); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestLaunchedExec joins a running container.
func TestLaunchedExec(t *testing.T) {
	l := launcher(t)
	spec, opts := readSpec(t, "containerd-default.json"), testOptions()
	opts.Rootfs = busyboxRoot(t)
	spec.Hostname, spec.Process.Args = "box", []string{"/bin/busybox", "sleep", "1000"}
	req, _, err := Translate(spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Launch(context.Background(), req, launch.Stdio{}, nil, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(p.Pid, unix.SIGKILL)
		_, _ = unix.Wait4(p.Pid, nil, 0, nil)
		p.Pidfd.Close()
	}()
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	further := &specs.Process{
		Args: []string{"/bin/busybox", "sh", "-c", "/bin/busybox hostname; /bin/busybox id -u; echo $A; /bin/busybox pwd; /bin/busybox readlink /proc/1/ns/mnt; /bin/busybox readlink /proc/self/ns/mnt"},
		Cwd:  "/full", Env: []string{"A=b"}, User: specs.User{UID: 9},
	}
	req, _, err = Exec(spec, further, p.Pid, p.Pidfd, opts)
	if err != nil {
		t.Fatal(err)
	}
	out, code := launched(t, l, req)
	mnt, err := os.Readlink("/proc/" + strconv.Itoa(p.Pid) + "/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	if want := "box\n9\nb\n/full\n" + mnt; code != 0 || out != want {
		t.Errorf("status %d, got %q, want %q", code, out, want)
	}
}
