// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/seccomp"
	"github.com/sardine-run/sardine/internal/testnode"
)

// testbed is what real containers are launched with.
type testbed struct {
	launcher *launch.Launcher
	node     *Node
	host     oci.Host
	seccomp  *seccomp.Compiler
}

func newTestbed(t *testing.T) *testbed {
	t.Helper()
	testnode.NeedRoot(t)
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
	b := &testbed{launcher: l, node: testNode(), seccomp: &seccomp.Compiler{}}
	b.node.Host, b.node.Unified, b.node.CgroupMountOptions = Host{}, false, nil
	if b.node.BoundingCaps, err = cap.Current(); err != nil {
		t.Fatal(err)
	}
	if b.host, err = oci.DetectHost(); err != nil {
		t.Fatal(err)
	}
	return b
}

// imageRoot is a directory with busybox, as a snapshotter would give it, open to every user.
func imageRoot(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		testnode.Unavailable(t, "install busybox-static: "+err.Error())
	}
	dir, err := os.MkdirTemp("", "podspec-root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"bin", "etc", "vol"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"bin/busybox": string(program), "etc/passwd": passwd, "etc/group": group} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, applet := range []string{"sh", "cat", "grep", "touch", "id", "ls", "cut", "stat", "mount", "unshare", "hostname", "pwd", "tr", "echo", "wc", "env", "head", "sort"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run translates, launches and returns what the script printed.
func (b *testbed) run(t *testing.T, script string, change func(*Container)) string {
	t.Helper()
	root, files := imageRoot(t), t.TempDir()
	c := testContainer()
	c.Pod.Namespaces = nil
	c.Pod.SHM = ""
	for name, path := range map[string]*string{"hosts": &c.Pod.Hosts, "hostname": &c.Pod.Hostname, "resolv.conf": &c.Pod.ResolvConf} {
		*path = filepath.Join(files, name)
		if err := os.WriteFile(*path, []byte("of the pod\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c.ReadFile = func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(root, path)) }
	c.Config.Command, c.Image.Config.Env = []string{"/bin/sh", "-c", script}, []string{"PATH=/bin"}
	change(c)
	r := translate(t, b.node, c)
	if err := r.Prepare(); err != nil {
		t.Fatal(err)
	}
	mount := rootfs.Mount{Type: "bind", Source: root, Options: []string{"rbind"}}
	if len(c.Pod.UIDMappings) > 0 {
		u, g := c.Pod.UIDMappings[0], c.Pod.GIDMappings[0]
		mount.Options = append(mount.Options, fmt.Sprintf("uidmap=0:%d:%d", u.HostID, u.Size), fmt.Sprintf("gidmap=0:%d:%d", g.HostID, g.Size))
	}
	req, _, err := oci.Translate(r.Spec, oci.Options{
		ID: "c1", Bundle: files, Rootfs: []rootfs.Mount{mount}, Host: b.host, Seccomp: b.seccomp,
		Cgroup: oci.Cgroup{Hierarchies: []plan.Pair{{Key: "memory", Value: "/sys/fs/cgroup/memory"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.launch(t, req)
}

func (b *testbed) launch(t *testing.T, req *launch.Request) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := b.launcher.Launch(context.Background(), req, launch.Stdio{nil, w, w}, nil, launch.Host{})
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
	if _, err := unix.Wait4(p.Pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if startErr != nil {
		t.Fatal(startErr)
	}
	return strings.TrimSpace(out.String())
}

// hostDevice is one that only a privileged container has.
func hostDevice(t *testing.T) string {
	t.Helper()
	all, err := LocalHost().Devices()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		switch d.Path {
		case "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx":
		default:
			return d.Path
		}
	}
	t.Skip("the host has no devices of its own")
	return ""
}

func asPrivileged(c *Container) {
	c.Pod.Config.Linux.SecurityContext.Privileged = true
	c.Config.Linux.SecurityContext.Privileged = true
}

func withMaps(c *Container) {
	maps := &runtime.UserNamespace{
		Uids: []*runtime.IDMapping{{HostId: 100000, Length: 65536}}, Gids: []*runtime.IDMapping{{HostId: 200000, Length: 65536}},
	}
	c.Pod.Config.Linux.SecurityContext.NamespaceOptions.UsernsOptions = maps
	c.Config.Linux.SecurityContext.NamespaceOptions.UsernsOptions = maps
	c.Pod.UIDMappings, c.Pod.GIDMappings = IDMappings(c.Pod.Config)
	for _, path := range []string{c.Pod.Hosts, c.Pod.Hostname, c.Pod.ResolvConf} {
		_ = os.Chown(path, 100000, 200000)
	}
}

// TestLaunched looks at what translated containers are like from inside.
func TestLaunched(t *testing.T) {
	b := newTestbed(t)
	all, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, mine, _ := strings.Cut(string(all), "CapEff:\t")
	mine, _, _ = strings.Cut(mine, "\n")
	volume := t.TempDir()
	const caps = "grep CapEff /proc/self/status | cut -f2"
	for _, test := range []struct {
		name, script, want string
		change             func(*Container)
	}{
		{"default", caps + "; cat /etc/hosts; echo $HOSTNAME $PATH; id -u; touch /x && echo written; grep -c ' /sys .*ro,' /proc/self/mountinfo; ls /sys/fs/cgroup; grep Seccomp: /proc/self/status | cut -f2; ls /dev | grep -v core | tr '\\n' ' '",
			"00000000a80425fb\nof the pod\npod-host /bin\n0\nwritten\n1\nmemory\n0\nfd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero", func(*Container) {}},
		{"privileged", caps + "; grep -c ' /sys .*rw,' /proc/self/mountinfo; grep -c ' /sys/fs/cgroup.*rw,' /proc/self/mountinfo ; test -e " + hostDevice(t) + " && echo device",
			mine + "\n1\n2\ndevice", asPrivileged},
		{"read-only", "touch /x 2>/dev/null || echo root; echo x 2>/dev/null >/etc/hosts || echo hosts; touch /dev/shm/x && touch /vol/x && echo volumes", "root\nhosts\nvolumes", func(c *Container) {
			c.Config.Linux.SecurityContext.ReadonlyRootfs = true
			c.Config.Mounts = []*runtime.Mount{{ContainerPath: "/vol", HostPath: volume}}
		}},
		{"user namespace", "id -u; tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map; stat -c %u:%g /etc/hosts /bin/busybox; echo x >>/etc/hosts && echo written; echo >/dev/null && " + caps,
			"0\n 0 100000 65536\n 0 200000 65536\n0:0\n0:0\nwritten\n00000000a80425fb", withMaps},
		{"seccomp", "grep Seccomp: /proc/self/status | cut -f2; unshare -m true 2>/dev/null || echo refused", "2\nrefused", func(c *Container) {
			c.Config.Linux.SecurityContext.Seccomp = &runtime.SecurityProfile{}
		}},
		{"seccomp follows the capabilities", "unshare -m cat /etc/hostname", "of the pod", func(c *Container) {
			c.Config.Linux.SecurityContext.Seccomp = &runtime.SecurityProfile{}
			c.Config.Linux.SecurityContext.Capabilities = &runtime.Capability{AddCapabilities: []string{"SYS_ADMIN"}}
		}},
		{"masked and read-only paths", "cat /proc/keys; ls /sys/firmware; echo 1 2>/dev/null >/proc/sys/kernel/panic || echo refused", "refused", func(c *Container) {
			c.Config.Linux.SecurityContext.MaskedPaths = []string{"/proc/keys", "/sys/firmware", "/no/such"}
			c.Config.Linux.SecurityContext.ReadonlyPaths = []string{"/proc/sys"}
		}},
		{"user", "id -u; id -g; id -G; touch /x 2>/dev/null || echo refused; " + caps, "1000\n1001\n1001 10 44 99\nrefused\n0000000000000000", func(c *Container) {
			c.Config.Linux.SecurityContext.RunAsUsername = "app"
			c.Config.Linux.SecurityContext.SupplementalGroups = []int64{99}
		}},
		{"ambient capabilities", "id -u; " + caps, "1000\n0000000000000400", func(c *Container) {
			c.Config.Linux.SecurityContext.RunAsUser = &runtime.Int64Value{Value: 1000}
			c.Config.Linux.SecurityContext.Capabilities = &runtime.Capability{DropCapabilities: []string{"ALL"}, AddAmbientCapabilities: []string{"NET_BIND_SERVICE"}}
		}},
		{"no new privileges", "grep NoNewPrivs /proc/self/status | cut -f2", "1", func(c *Container) { c.Config.Linux.SecurityContext.NoNewPrivs = true }},
		{"mount options", "cut -d' ' -f5,6 /proc/self/mountinfo | grep ^/v; ls /v", "/v ro,nodev,noexec,relatime\nnew", func(c *Container) {
			host := filepath.Join(volume, "made", "now")
			c.Config.Mounts = []*runtime.Mount{{ContainerPath: "/v", HostPath: filepath.Dir(host), Readonly: true, RecursiveReadOnly: true, MountOptions: []string{"noexec", "nodev"}}}
			_ = os.MkdirAll(filepath.Join(filepath.Dir(host), "new"), 0o755)
		}},
		{"a device", "ls -l /dev/mynull | cut -c1; echo x >/dev/mynull && echo written", "c\nwritten", func(c *Container) {
			c.Config.Devices = []*runtime.Device{{HostPath: "/dev/null", ContainerPath: "/dev/mynull", Permissions: "rw"}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := b.run(t, test.script, test.change); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestLaunchedInPod joins namespaces that are held open as descriptors, as a pod's are.
func TestLaunchedInPod(t *testing.T) {
	b := newTestbed(t)
	holder := exec.Command("/bin/busybox", "sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 200000, Size: 65536}},
		GidMappingsEnableSetgroups: true,
	}
	if err := holder.Start(); err != nil {
		t.Skipf("user namespaces: %v", err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	var inodes []string
	spaces := map[specs.LinuxNamespaceType]string{}
	for kind, name := range map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.UTSNamespace: "uts", specs.IPCNamespace: "ipc", specs.UserNamespace: "user"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", holder.Process.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		inodes = append(inodes, link)
		spaces[kind] = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
	}
	got := b.run(t, "cd /proc/self/ns; for n in net uts ipc user; do busybox readlink $n; done; id -u", func(c *Container) {
		withMaps(c)
		c.Pod.Namespaces = spaces
	})
	for _, link := range append(inodes, "\n0") {
		if !strings.Contains(got, link) {
			t.Errorf("%q lacks %s", got, link)
		}
	}
}
