// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// initPath is the sardine-init under test: SARDINE_INIT, or one built by TestMain.
var initPath = os.Getenv("SARDINE_INIT")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if initPath != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "launch")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	initPath = filepath.Join(dir, "sardine-init")
	build := exec.Command("go", "build", "-ldflags", "-s -w -E sardine_entry", "-o", initPath,
		"github.com/sardine-run/sardine/cmd/sardine-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sardine-init: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// image makes a root file system with a static busybox.
func image(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make namespaces and mounts")
	}
	const busybox = "/bin/busybox"
	content, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatalf("install busybox-static: %v", err)
	}
	dir := t.TempDir()
	for _, d := range []string{"bin", "etc", "proc", "dev", "sys", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, busybox), content, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields("sh cat echo true false id ls mount sleep stat pwd hostname env touch mkdir ps readlink tty stty kill test grep cut tr ionice uname") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// overlayOn returns the mount of a writable overlay on lower.
func overlayOn(t testing.TB, lower string) []rootfs.Mount {
	t.Helper()
	dir := t.TempDir()
	upper, work := filepath.Join(dir, "u"), filepath.Join(dir, "w")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return []rootfs.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + lower, "upperdir=" + upper, "workdir=" + work,
	}}}
}

// request is a container like containerd's default one.
func request(root []rootfs.Mount, args ...string) *launch.Request {
	const nosuid = unix.MOUNT_ATTR_NOSUID
	all := ^uint64(0) >> 23
	return &launch.Request{
		Namespaces: launch.Namespaces{New: newNamespaces},
		Rootfs:     root,
		Plan: &plan.Plan{
			UnshareCgroup: true,
			Hostname:      "box",
			Root:          &plan.Root{Propagation: unix.MS_SLAVE | unix.MS_REC},
			Mounts: []plan.Mount{
				{Destination: "/proc", FD: plan.NoFD, FSType: "proc", Attr: plan.Attr{Set: nosuid}},
				{Destination: "/dev", FD: plan.NoFD, FSType: "tmpfs", Attr: plan.Attr{Set: nosuid},
					Options: []plan.Pair{{Key: "mode", Value: "755"}, {Key: "size", Value: "65536k"}}},
				{Destination: "/dev/pts", FD: plan.NoFD, FSType: "devpts",
					Options: []plan.Pair{{Key: "newinstance"}, {Key: "ptmxmode", Value: "0666"}, {Key: "mode", Value: "0620"}}},
				{Destination: "/dev/shm", FD: plan.NoFD, FSType: "tmpfs", Options: []plan.Pair{{Key: "mode", Value: "1777"}}},
				{Destination: "/dev/mqueue", FD: plan.NoFD, FSType: "mqueue"},
				{Destination: "/sys", FD: plan.NoFD, FSType: "sysfs", Attr: plan.Attr{Set: unix.MOUNT_ATTR_RDONLY}},
			},
			Devices: []plan.Device{
				{Path: "/dev/null", Mode: unix.S_IFCHR | 0o666, Number: unix.Mkdev(1, 3), FD: plan.NoFD},
				{Path: "/dev/zero", Mode: unix.S_IFCHR | 0o666, Number: unix.Mkdev(1, 5), FD: plan.NoFD},
			},
			Links:    []plan.Link{{Target: "pts/ptmx", Path: "/dev/ptmx"}, {Target: "/proc/self/fd", Path: "/dev/fd"}},
			Masked:   []string{"/proc/kcore", "/proc/acpi", "/proc/does-not-exist", "/sys/firmware"},
			Readonly: []string{"/proc/sys", "/proc/bus"},
			Process: plan.Process{
				Args: args, Env: []string{"PATH=/bin"}, Cwd: "/", Umask: -1, IOPriority: -1,
				Capabilities: &plan.Capabilities{Bounding: all, Permitted: all, Effective: all},
			},
		},
	}
}

func newLauncher(t testing.TB) *launch.Launcher {
	t.Helper()
	l, err := launch.New(initPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// result is how a program ended and what it printed.
type result struct {
	output string
	code   int // exit code, or 128 + signal
}

// wait waits for the end of a process and reaps it.
func wait(t testing.TB, p *launch.Process) int {
	t.Helper()
	var status unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	p.Pidfd.Close()
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// outcome launches req and lets it run to its end.
func outcome(t testing.TB, l *launch.Launcher, req *launch.Request, host launch.Host) (result, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := l.Launch(context.Background(), req, launch.Stdio{nil, w, w}, nil, host)
	w.Close()
	if err != nil {
		return result{}, err
	}
	if err := p.Start(context.Background()); err != nil {
		wait(t, p)
		return result{}, err
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, r); err != nil {
		t.Fatal(err)
	}
	return result{out.String(), wait(t, p)}, nil
}

// sh runs a shell script in a container that change may alter.
func sh(t *testing.T, script string, change func(*launch.Request)) string {
	t.Helper()
	req := request(overlayOn(t, image(t)), "sh", "-c", script)
	if change != nil {
		change(req)
	}
	res, err := outcome(t, newLauncher(t), req, launch.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if res.code != 0 {
		t.Fatalf("exit code %d: %s", res.code, res.output)
	}
	return strings.TrimSpace(res.output)
}

func TestContainerSeesItsOwnWorld(t *testing.T) {
	for script, want := range map[string]string{
		"hostname":                    "box",
		"echo $$":                     "1",
		"pwd":                         "/",
		"ls /proc/acpi /sys/firmware": "/proc/acpi:\n\n/sys/firmware:",
		"echo 1 2>/dev/null >/proc/sys/kernel/panic || echo refused": "refused",
		"echo >/sys/x || true":                       "sh: can't create /sys/x: Read-only file system",
		"touch /new && ls /new":                      "/new",
		"readlink /dev/fd":                           "/proc/self/fd",
		"echo hi >/dev/null && stat -c %F /dev/null": "character special file",
		"echo $HOME":                                 "/",
	} {
		t.Run(script, func(t *testing.T) {
			if got := sh(t, script, nil); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if left := mounts(t); left != "" {
		t.Errorf("left in the host's mount table:\n%s", left)
	}
}

// mounts are the entries of the host's table that name a directory of this test; other
// packages' tests mount things meanwhile.
func mounts(t *testing.T) (ours string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "/"+t.Name()) {
			ours += line
		}
	}
	return ours
}

func TestHostSeesNoMountOfARunningContainer(t *testing.T) {
	sleeper(t, newLauncher(t), nil)
	if seen := mounts(t); seen != "" {
		t.Errorf("in the host's mount table:\n%s", seen)
	}
}

func TestExitCodes(t *testing.T) {
	l := newLauncher(t)
	root := image(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "kill -9 $$; sleep 1; exit 4": 4} {
		res, err := outcome(t, l, request(overlayOn(t, root), "sh", "-c", script), launch.Host{})
		if err != nil || res.code != want {
			t.Errorf("%s: code %d, error %v", script, res.code, err)
		}
	}
}

func TestFailuresAreNamed(t *testing.T) {
	l := newLauncher(t)
	root := image(t)
	for name, c := range map[string]struct {
		change func(*launch.Request)
		text   string
		errno  error
	}{
		"missing binary": {func(r *launch.Request) { r.Plan.Process.Args = []string{"/x"} },
			`exec: "/x": no such file or directory in container`, unix.ENOENT},
		"not in PATH": {func(r *launch.Request) { r.Plan.Process.Args = []string{"x"} },
			`exec: "x": executable file not found in $PATH of the container`, unix.ENOENT},
		"not executable": {func(r *launch.Request) { r.Plan.Process.Args = []string{"/etc"} },
			`exec: "/etc": is a directory in container`, unix.EISDIR},
		"missing rootfs": {func(r *launch.Request) { r.Rootfs = []rootfs.Mount{{Type: "bind", Source: "/nonexistent"}} },
			"rootfs: open_tree /nonexistent: no such file or directory", unix.ENOENT},
		"unknown file system": {func(r *launch.Request) { r.Plan.Mounts[0].FSType = "nofs" },
			"mount /proc: fsopen nofs: no such device", unix.ENODEV},
		"unknown option": {func(r *launch.Request) { r.Plan.Mounts[1].Options = []plan.Pair{{Key: "nooption", Value: "1"}} },
			"fsconfig tmpfs nooption=1", unix.EINVAL},
		"bad sysctl": {func(r *launch.Request) { r.Plan.Sysctls = []plan.Pair{{Key: "net/nothing", Value: "1"}} },
			"sysctl net/nothing", unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(overlayOn(t, root), "true")
			c.change(req)
			_, err := outcome(t, l, req, launch.Host{})
			if err == nil || !strings.Contains(err.Error(), c.text) || !errors.Is(err, c.errno) {
				t.Errorf("got %v, want %q and %v", err, c.text, c.errno)
			}
		})
	}
}

func BenchmarkLaunch(b *testing.B) {
	root := overlayOn(b, image(b))
	l, err := launch.New(initPath)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		res, err := outcome(b, l, request(root, "/bin/true"), launch.Host{})
		if err != nil || res.code != 0 {
			b.Fatal(err, res)
		}
	}
}
