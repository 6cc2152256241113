// SPDX-License-Identifier: Apache-2.0

package features

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/kernel"
)

// without drops a namespace from the spec: the container shares the host's.
func without(kind specs.LinuxNamespaceType) change {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	}
}

// joined replaces a namespace by one given by its path.
func joined(kind specs.LinuxNamespaceType, path string) change {
	return func(s *specs.Spec) {
		without(kind)(s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
}

func hostNS(t *testing.T, name string) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

var kinds = map[string]specs.LinuxNamespaceType{
	"net": specs.NetworkNamespace, "ipc": specs.IPCNamespace, "uts": specs.UTSNamespace, "pid": specs.PIDNamespace, "cgroup": specs.CgroupNamespace,
}

func TestNamespaces(t *testing.T) {
	b := newBox(t)
	for name, kind := range kinds {
		host := hostNS(t, name)
		t.Run("new "+name, func(t *testing.T) {
			got, err := b.run(t, "readlink /proc/self/ns/"+name, func(s *specs.Spec) {
				without(kind)(s)
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
			})
			if err != nil || got.out == host || got.out == "" {
				t.Errorf("%q, %v; the host's is %s", got.out, err, host)
			}
		})
		t.Run("host's "+name, func(t *testing.T) {
			got, err := b.run(t, "readlink /proc/self/ns/"+name, without(kind), func(s *specs.Spec) {
				if kind == specs.UTSNamespace {
					s.Hostname = ""
				}
			})
			if err != nil || got.out != host {
				t.Errorf("%q, %v; want %s", got.out, err, host)
			}
		})
	}
	b.check(t, []inside{
		{"hostname", func(s *specs.Spec) { s.Hostname = "sardine" }, "hostname", "sardine"},
		{"domainname", func(s *specs.Spec) { s.Domainname = "tin.example" }, "cat /proc/sys/kernel/domainname", "tin.example"},
		{"first process", nothing(), "echo $$", "1"},
		{"loopback only", nothing(), "ls /sys/class/net", "lo"},
		{"sysctl", func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}
		}, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced", "1\n1"},
		{"cgroup namespace", func(s *specs.Spec) {
			without(specs.CgroupNamespace)(s)
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}, "cut -d: -f3 /proc/self/cgroup | sort -u", "/"},
	})
	offset := func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1_000_000_000}}
	}
	if v, _, err := kernel.RunningVersion(); err != nil || v.Before(kernel.Version{Major: 6, Minor: 3}) {
		b.refuse(t, []refusal{{"time offsets", offset, "Linux 6.3", errdefs.IsNotImplemented}})
	} else {
		b.check(t, []inside{{"time offsets", offset, "cut -c1-4 /proc/uptime", "1000"}})
	}
}

// held starts a host process in new namespaces and returns its pid.
func held(t *testing.T, attr *syscall.SysProcAttr) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestNamespacesByPath(t *testing.T) {
	b := newBox(t)
	pid := held(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID})
	for _, name := range []string{"net", "ipc", "uts", "pid"} {
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, name)
		want, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.run(t, "readlink /proc/self/ns/"+name, joined(kinds[name], path))
		if err != nil || got.out != want {
			t.Errorf("%s: %q, %v; want %s", name, got.out, err, want)
		}
	}
}

var mapping = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 300000, Size: 65536}}

func mapped(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings, s.Linux.GIDMappings = mapping, mapping
}

func TestUserNamespace(t *testing.T) {
	b := newBox(t)
	ids := mapping
	b.snapshot = []snapshots.Opt{containerd.WithUserNSRemapperLabels(ids, ids)}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	b.check(t, []inside{
		{"maps", mapped, "awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map; id -u", "0 300000 65536\n0 300000 65536\n0"},
		{"devices", mapped, "echo x >/dev/null && head -c 2 /dev/zero | wc -c", "2"},
		{"not the host's root", mapped, "echo 1 2>/dev/null >/proc/sys/kernel/panic || echo refused; mknod /tmp/d c 1 3 2>/dev/null || echo refused", "refused\nrefused"},
		{"as a user", func(s *specs.Spec) { mapped(s); s.Process.User.UID = 1000; s.Process.User.AdditionalGids = []uint32{7} }, "id -u; id -G", "1000\n0 7"},
	})
	t.Run("idmapped volume", func(t *testing.T) {
		got, err := b.run(t, "touch /v/made && stat -c %u /v/made", mapped, mounted("/v", "bind", dir, "rbind", "idmap"), func(s *specs.Spec) {
			m := &s.Mounts[len(s.Mounts)-1]
			m.UIDMappings, m.GIDMappings = mapping, mapping
		})
		if err != nil || got.out != "0" {
			t.Fatalf("%q, %v", got.out, err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(dir+"/made", &st); err != nil || st.Uid != 0 {
			t.Errorf("on the host the file belongs to %d, %v", st.Uid, err)
		}
	})
	t.Run("by path", func(t *testing.T) {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 300000, Size: 65536}}
		pid := held(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true})
		path := fmt.Sprintf("/proc/%d/ns/user", pid)
		want, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.run(t, "readlink /proc/self/ns/user; id -u; echo $$", joined(specs.UserNamespace, path))
		if err != nil || got.out != want+"\n0\n1" {
			t.Errorf("%q, %v; want %s", got.out, err, want)
		}
	})
}

func TestBadNamespaces(t *testing.T) {
	b := newBox(t)
	b.refuse(t, []refusal{
		{"missing path", joined(specs.NetworkNamespace, "/no/such/netns"), "/no/such/netns", nil},
		{"twice", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
		}, "pid", errdefs.IsInvalidArgument},
		{"no maps", func(s *specs.Spec) { mapped(s); s.Linux.UIDMappings = nil }, "appings", errdefs.IsInvalidArgument},
		{"host's mount namespace", without(specs.MountNamespace), "mount namespace", nil},
		{"sysctl of the host", func(s *specs.Spec) {
			without(specs.NetworkNamespace)(s)
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		}, "net.ipv4.ip_forward", errdefs.IsInvalidArgument},
		{"unknown sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, "vm.swappiness", errdefs.IsInvalidArgument},
		{"hostname of the host", func(s *specs.Spec) { without(specs.UTSNamespace)(s); s.Hostname = "x" }, "uts", errdefs.IsInvalidArgument},
		{"time offsets without namespace", func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}}
		}, "time", errdefs.IsInvalidArgument},
	})
	if strings.Contains(b.Log(), "panic") {
		t.Error("the daemon panicked")
	}
}
