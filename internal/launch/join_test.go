// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// sleeper launches a container that runs until the test ends.
func sleeper(t *testing.T, l *launch.Launcher, change func(*launch.Request)) *launch.Process {
	t.Helper()
	req := request(overlayOn(t, image(t)), "sleep", "1000")
	if change != nil {
		change(req)
	}
	p, err := l.Launch(context.Background(), req, launch.Stdio{}, nil, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Kill(p.Pid, unix.SIGKILL)
		wait(t, p)
	})
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p
}

// further is the request for another process of p's container.
func further(p *launch.Process, user bool, script string) *launch.Request {
	flags := uintptr(newNamespaces | unix.CLONE_NEWCGROUP)
	if user {
		flags |= unix.CLONE_NEWUSER
	}
	all := ^uint64(0) >> 23
	return &launch.Request{
		Namespaces: launch.Namespaces{Process: p.Pidfd, ProcessFlags: flags},
		Plan: &plan.Plan{Process: plan.Process{
			Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin"}, Cwd: "/tmp", Umask: -1, IOPriority: -1,
			Capabilities: &plan.Capabilities{Bounding: all, Permitted: all, Effective: all},
		}},
	}
}

func TestFurtherProcessJoinsEverything(t *testing.T) {
	l := newLauncher(t)
	p := sleeper(t, l, nil)
	res, err := outcome(t, l, further(p, false, "hostname; pwd; ls -d /proc/1; readlink /proc/1/ns/net; readlink /proc/self/ns/net"), launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(res.output), "\n")
	if len(lines) != 5 || lines[0] != "box" || lines[1] != "/tmp" || lines[3] != lines[4] {
		t.Errorf("got %q", lines)
	}
}

func userns(r *launch.Request) {
	r.Namespaces.New |= unix.CLONE_NEWUSER
	r.Namespaces.UIDs = []rootfs.IDMap{{Inside: 0, Outside: 200000, Size: 65536}}
	r.Namespaces.GIDs = r.Namespaces.UIDs
	r.RootMapping = &rootfs.Mapping{UIDs: r.Namespaces.UIDs, GIDs: r.Namespaces.GIDs}
	for i := range r.Plan.Devices {
		if r.DeviceNodes == nil {
			r.DeviceNodes = map[int]string{}
		}
		r.DeviceNodes[i] = r.Plan.Devices[i].Path
	}
}

func TestUserNamespace(t *testing.T) {
	l := newLauncher(t)
	req := request(overlayOn(t, image(t)), "sh", "-c",
		"id -u; stat -c %u /bin/busybox; touch /tmp/x && stat -c %u /tmp/x; cat /proc/self/uid_map; echo x >/dev/null && echo null")
	userns(req)
	res, err := outcome(t, l, req, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(res.output); strings.Join(got, " ") != "0 0 0 0 200000 65536 null" {
		t.Errorf("got %q", res.output)
	}
}

func TestFurtherProcessInUserNamespace(t *testing.T) {
	l := newLauncher(t)
	p := sleeper(t, l, userns)
	res, err := outcome(t, l, further(p, true, "id -u; hostname; touch /tmp/y && stat -c %u /tmp/y"), launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(res.output), " "); got != "0 box 0" {
		t.Errorf("got %q", res.output)
	}
}

// A pod's containers share its user namespace and have the others for themselves.
func TestUserNamespaceByPath(t *testing.T) {
	l := newLauncher(t)
	pod := sleeper(t, l, userns)
	req := request(overlayOn(t, image(t)), "sh", "-c", "id -u; echo $$; readlink /proc/self/ns/user")
	userns(req)
	req.Namespaces.New &^= unix.CLONE_NEWUSER | unix.CLONE_NEWNET
	req.Namespaces.Join = []launch.Join{
		{Flag: unix.CLONE_NEWUSER, Path: fmt.Sprintf("/proc/%d/ns/user", pod.Pid)},
		{Flag: unix.CLONE_NEWNET, Path: fmt.Sprintf("/proc/%d/ns/net", pod.Pid)},
	}
	want, err := os.Readlink(req.Namespaces.Join[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	res, err := outcome(t, l, req, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(res.output), " "); got != "0 1 "+want {
		t.Errorf("got %q, want 0 1 %s", got, want)
	}
}

func TestTerminal(t *testing.T) {
	l := newLauncher(t)
	for _, join := range []bool{false, true} {
		t.Run(fmt.Sprintf("join=%v", join), func(t *testing.T) {
			req := request(overlayOn(t, image(t)), "sh", "-c", "tty; stty size; test -c /dev/console; echo $?; echo ready; read x; echo got $x")
			if join {
				req = further(sleeper(t, l, nil), false, req.Plan.Process.Args[2])
			}
			console := 0 // it is there from the start or not at all
			if join {
				console = 1
			}
			req.Plan.Process.Terminal = true
			req.Plan.Process.ConsoleWidth, req.Plan.Process.ConsoleHeight = 91, 33
			var master *os.File
			host := launch.Host{Terminal: func(f *os.File) error { master = f; return nil }}
			p, err := l.Launch(context.Background(), req, launch.Stdio{}, nil, host)
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			if err := p.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for s := bufio.NewScanner(master); s.Scan(); {
				out.WriteString(s.Text() + "\r\n")
				if s.Text() != "ready" {
					continue
				}
				// Not before: the terminal's echo would come between the lines of the program.
				if _, err := io.WriteString(master, "hello\n"); err != nil {
					t.Fatal(err)
				}
			}
			if code := wait(t, p); code != 0 || !strings.Contains(out.String(), "/dev/pts/0") || !strings.Contains(out.String(), fmt.Sprintf("33 91\r\n%d\r\n", console)) || !strings.Contains(out.String(), "got hello") {
				t.Errorf("code %d: %q", code, out.String())
			}
		})
	}
}

func TestHooksInside(t *testing.T) {
	l := newLauncher(t)
	root := image(t)
	dir := t.TempDir()
	seen := filepath.Join(dir, "created")
	req := request(overlayOn(t, root), "cat", "/tmp/started")
	req.Plan.HostHooks = true
	req.Plan.CreateState, req.Plan.StartState = []byte(`{"id":"x"}`), []byte(`{"id":"x"}`)
	req.Plan.CreateHooks = []plan.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >" + seen}}}
	req.Plan.StartHooks = []plan.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >/tmp/started"}}}
	var hookPid int
	res, err := outcome(t, l, req, launch.Host{RunHooks: func(_ context.Context, pid int) error { hookPid = pid; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	created, _ := os.ReadFile(seen)
	if hookPid == 0 || string(created) != `{"id":"x"}` || res.output != `{"id":"x"}` {
		t.Errorf("host hook pid %d, createContainer saw %q, startContainer saw %q", hookPid, created, res.output)
	}
	for _, c := range []struct {
		script  string
		timeout int64
		want    string
	}{
		{"echo no >&2; exit 3", 60, "createContainer hook: /bin/sh: exit status 3: no"},
		{"sleep 100", 1, "timed out after 1 s"},
	} {
		req := request(overlayOn(t, root), "true")
		req.Plan.CreateHooks = []plan.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", c.script}, Timeout: c.timeout}}
		if _, err := outcome(t, l, req, launch.Host{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.script, err, c.want)
		}
	}
}

func TestTimeNamespace(t *testing.T) {
	if v, _, err := kernel.RunningVersion(); err != nil || v.Before(kernel.Version{Major: 6, Minor: 3}) {
		t.Skipf("exec enters a time namespace since Linux 6.3, this is %s (%v)", v, err)
	}
	const billion = 1_000_000_000
	out := sh(t, "cat /proc/uptime", func(r *launch.Request) {
		r.Plan.TimeOffsets = []plan.TimeOffset{{Clock: "boottime", Seconds: billion}, {Clock: "monotonic", Seconds: 5}}
	})
	if uptime, err := strconv.ParseFloat(strings.Fields(out)[0], 64); err != nil || uptime < billion {
		t.Errorf("uptime %s, want a billion seconds more: %v", out, err)
	}
}

func TestBindsAndPropagation(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := sh(t, "cat /a/b/c/f /file; touch /a/b/c/g 2>&1; grep ' /a/b/c ' /proc/self/mountinfo | cut -d' ' -f6", func(r *launch.Request) {
		at := len(r.Plan.Mounts)
		r.Plan.Mounts = append(r.Plan.Mounts,
			plan.Mount{Destination: "/a/b/c", Attr: plan.Attr{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}, Propagation: unix.MS_PRIVATE | unix.MS_REC},
			plan.Mount{Destination: "/file"})
		r.Binds = []launch.Bind{{Mount: at, Source: dir, Recursive: true}, {Mount: at + 1, Source: filepath.Join(dir, "f")}}
	})
	if !strings.HasPrefix(out, "contentcontent") || !strings.Contains(out, "Read-only file system") || !strings.Contains(out, "ro,nosuid") {
		t.Errorf("got %q", out)
	}
}

// Links in an image must not lead a mount out of it.
func TestLinksInImageStayInside(t *testing.T) {
	outside := t.TempDir()
	root := image(t)
	for name, target := range map[string]string{"abs": outside, "up": "../../../../.." + outside, "dangling": outside + "/none"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	l := newLauncher(t)
	for _, name := range []string{"abs", "up", "dangling"} {
		file := request(overlayOn(t, root), "cat", "/"+name)
		file.Plan.Mounts = append(file.Plan.Mounts, plan.Mount{Destination: "/" + name})
		file.Binds = []launch.Bind{{Mount: len(file.Plan.Mounts) - 1, Source: "/proc/sys/kernel/ostype"}}
		if res, err := outcome(t, l, file, launch.Host{}); err != nil || res.output != "Linux\n" {
			t.Errorf("file through %s: %v %q", name, err, res.output)
		}
		req := request(overlayOn(t, root), "sh", "-c", "mount | grep -c volume")
		req.Plan.Mounts = append(req.Plan.Mounts, plan.Mount{Destination: "/" + name + "/d", FD: plan.NoFD, FSType: "tmpfs", Source: "volume"})
		res, err := outcome(t, l, req, launch.Host{})
		if err != nil || strings.TrimSpace(res.output) != "1" {
			t.Errorf("%s: %v %q", name, err, res.output)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("something was made outside the image: %v", entries)
	}
}
