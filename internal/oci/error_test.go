// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// mutation makes one mistake in a good spec.
type mutation func(*specs.Spec, *Options)

func mount(m specs.Mount) mutation {
	return func(s *specs.Spec, _ *Options) { s.Mounts = append(s.Mounts, m) }
}

func tmpfs(options ...string) mutation {
	return mount(specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: options})
}

func namespace(kind specs.LinuxNamespaceType, path string) mutation {
	return func(s *specs.Spec, _ *Options) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
}

func without(kind specs.LinuxNamespaceType) mutation {
	return func(s *specs.Spec, _ *Options) {
		var rest []specs.LinuxNamespace
		for _, n := range s.Linux.Namespaces {
			if n.Type != kind {
				rest = append(rest, n)
			}
		}
		s.Linux.Namespaces = rest
	}
}

func onProcess(f func(*specs.Process)) mutation {
	return func(s *specs.Spec, _ *Options) { f(s.Process) }
}

func onLinux(f func(*specs.Linux)) mutation {
	return func(s *specs.Spec, _ *Options) { f(s.Linux) }
}

func sysctl(name string) mutation {
	return onLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{name: "1"} })
}

func scheduler(s specs.Scheduler) mutation {
	return onProcess(func(p *specs.Process) { p.Scheduler = &s })
}

func device(d specs.LinuxDevice) mutation {
	return onLinux(func(l *specs.Linux) { l.Devices = append(l.Devices, d) })
}

func both(mutations ...mutation) mutation {
	return func(s *specs.Spec, o *Options) {
		for _, m := range mutations {
			m(s, o)
		}
	}
}

// userNamespace adds one that maps the ids 0 to 9.
func userNamespace(s *specs.Spec, o *Options) {
	namespace(specs.UserNamespace, "")(s, o)
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
}

func idMaps(maps ...specs.LinuxIDMapping) mutation {
	return both(namespace(specs.UserNamespace, ""), onLinux(func(l *specs.Linux) { l.UIDMappings, l.GIDMappings = maps, maps }))
}

func hook(h specs.Hook) mutation {
	return func(s *specs.Spec, _ *Options) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{h}} }
}

// TestErrors has every mistake a user can make, with what is said about it.
func TestErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	minus, zero, big := -1, 0, 1001
	badMask := uint32(0o1000)
	wrong, missing, unready, unsupported := errdefs.ErrInvalidArgument, errdefs.ErrNotFound, errdefs.ErrFailedPrecondition, errdefs.ErrNotImplemented
	for _, test := range []struct {
		want   string
		class  error
		mutate mutation
	}{
		{`ociVersion: "" is not a semantic version`, wrong, func(s *specs.Spec, _ *Options) { s.Version = "" }},
		{`ociVersion: "1.x.0" is not`, wrong, func(s *specs.Spec, _ *Options) { s.Version = "1.x.0" }},
		{`ociVersion: "2.0.0"; versions 1.x`, unsupported, func(s *specs.Spec, _ *Options) { s.Version = "2.0.0" }},
		{"vm: this runtime starts no virtual machines", unsupported, func(s *specs.Spec, _ *Options) { s.VM = &specs.VM{} }},
		{"linux.intelRdt", unsupported, onLinux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{} })},
		{"linux.netDevices", unsupported, onLinux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} })},
		{"linux.memoryPolicy", unsupported, onLinux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{} })},

		{`unknown type "net"`, wrong, namespace("net", "")},
		{`"pid" is listed twice`, wrong, namespace(specs.PIDNamespace, "")},
		{"a mount namespace is required", unsupported, without(specs.MountNamespace)},
		{"a mount namespace is required", unsupported, func(s *specs.Spec, _ *Options) { s.Linux = nil }},
		{"joining the mount namespace", unsupported, both(without(specs.MountNamespace), namespace(specs.MountNamespace, "/proc/self/ns/mnt"))},
		{`path of user: "ns" is not an absolute path`, wrong, namespace(specs.UserNamespace, "ns")},
		{`user namespace "/no/such" does not exist`, missing, namespace(specs.UserNamespace, "/no/such")},
		{"joining both a user and a time namespace", unsupported, both(namespace(specs.UserNamespace, "/proc/self/ns/user"), namespace(specs.TimeNamespace, "/proc/self/ns/time"))},

		{"there is no user namespace to use them", wrong, onLinux(func(l *specs.Linux) { l.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} })},
		{"a new user namespace needs linux.uidMappings", wrong, namespace(specs.UserNamespace, "")},
		{"0:5:0 is empty", wrong, idMaps(specs.LinuxIDMapping{HostID: 5})},
		{"reaches beyond the last id", wrong, idMaps(specs.LinuxIDMapping{HostID: 5, Size: 4294967291})},
		{"5:5:5 overlaps 0:100:10", wrong, idMaps(specs.LinuxIDMapping{HostID: 100, Size: 10}, specs.LinuxIDMapping{ContainerID: 5, HostID: 5, Size: 5})},
		{"20:105:5 overlaps 0:100:10", wrong, idMaps(specs.LinuxIDMapping{HostID: 100, Size: 10}, specs.LinuxIDMapping{ContainerID: 20, HostID: 105, Size: 5})},
		{"id 0 of the container is not mapped", wrong, idMaps(specs.LinuxIDMapping{ContainerID: 1, HostID: 100, Size: 10})},
		{"341 lines; the kernel takes 340", wrong, idMaps(make([]specs.LinuxIDMapping, 341)...)},
		{"process.user.uid: 10 is not mapped", wrong, both(userNamespace, onProcess(func(p *specs.Process) { p.User.UID = 10 }))},
		{"process.user: group 77 is not mapped", wrong, both(userNamespace, onProcess(func(p *specs.Process) { p.User.AdditionalGids = []uint32{77} }))},
		{"they differ from the maps of the user namespace", wrong, both(
			namespace(specs.UserNamespace, "/proc/self/ns/user"),
			onLinux(func(l *specs.Linux) { l.UIDMappings = []specs.LinuxIDMapping{{HostID: 5, Size: 1}} }))},

		{`hostname: "h" needs a uts namespace`, wrong, both(without(specs.UTSNamespace), func(s *specs.Spec, _ *Options) { s.Hostname = "h" })},
		{`domainname: "d" needs a uts namespace`, wrong, both(without(specs.UTSNamespace), func(s *specs.Spec, _ *Options) { s.Domainname = "d" })},
		{"is longer than 64 bytes", wrong, func(s *specs.Spec, _ *Options) { s.Hostname = strings.Repeat("h", 65) }},
		{"needs a time namespace without a path", wrong, onLinux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} })},
		{`unknown clock "real"`, wrong, both(namespace(specs.TimeNamespace, ""), onLinux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"real": {}} }))},
		{"1000000000 nanoseconds are more than a second", wrong, both(namespace(specs.TimeNamespace, ""), onLinux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Nanosecs: 1e9}} }))},

		{"a container needs a root file system", wrong, func(s *specs.Spec, o *Options) { o.Rootfs, s.Root = nil, nil }},
		{"root.path: stat /run/bundle/nowhere", missing, func(s *specs.Spec, o *Options) { o.Rootfs, s.Root.Path = nil, "nowhere" }},
		{"is not a directory", wrong, func(s *specs.Spec, o *Options) { o.Rootfs, s.Root.Path = nil, file }},
		{"uidmap and gidmap belong together", wrong, func(_ *specs.Spec, o *Options) {
			o.Rootfs = []rootfs.Mount{{Type: "bind", Options: []string{"uidmap=0:1:1"}}}
		}},
		{`rootfs option gidmap: "0:x:1" is not inside:outside:size`, wrong, func(_ *specs.Spec, o *Options) {
			o.Rootfs = []rootfs.Mount{{Type: "bind", Options: []string{"gidmap=0:x:1"}}}
		}},
		{`rootfsPropagation: unknown value "sharde"`, wrong, onLinux(func(l *specs.Linux) { l.RootfsPropagation = "sharde" })},

		{"a destination is empty", wrong, mount(specs.Mount{Type: "tmpfs"})},
		{"cannot mount over the root", wrong, mount(specs.Mount{Destination: "/a/..", Type: "tmpfs"})},
		{"contains a NUL byte", wrong, mount(specs.Mount{Destination: "/a\x00", Type: "tmpfs"})},
		{"mount /x: option remount", unsupported, tmpfs("remount", "ro")},
		{"it is inside /proc", wrong, mount(specs.Mount{Destination: "/proc/self/attr", Type: "tmpfs"})},
		{"only proc can be mounted there", wrong, mount(specs.Mount{Destination: "/proc", Type: "tmpfs"})},
		{`the source "/etc" is not a proc file system`, wrong, mount(specs.Mount{Destination: "/proc", Type: "bind", Source: "/etc"})},
		{`mount /x: option "size" cannot be applied to a bind mount`, wrong, mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", Options: []string{"rbind", "size=5"}})},
		{`source "/no/such" does not exist`, missing, mount(specs.Mount{Destination: "/x", Type: "none", Source: "/no/such", Options: []string{"bind"}})},
		{"a bind mount needs a source", wrong, mount(specs.Mount{Destination: "/x", Type: "bind"})},
		{"mount /x: source: stat " + file, wrong, mount(specs.Mount{Destination: "/x", Type: "bind", Source: file + "/below"})},
		{`the type is "none" and there is no option bind`, wrong, mount(specs.Mount{Destination: "/x", Type: "none"})},
		{`the type is "" and there is no option bind`, wrong, mount(specs.Mount{Destination: "/x"})},
		{"tmpcopyup is for tmpfs, not sysfs", wrong, mount(specs.Mount{Destination: "/x", Type: "sysfs", Options: []string{"tmpcopyup"}})},
		{"tmpcopyup is for tmpfs", wrong, mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", Options: []string{"tmpcopyup"}})},
		{"id maps are for bind mounts", wrong, tmpfs("idmap")},
		{"option idmap needs uidMappings and gidMappings", wrong, mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", Options: []string{"idmap"}})},
		{"needs both uidMappings and gidMappings", wrong, mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})},
		{"no cgroup hierarchy is mounted", unready, both(func(_ *specs.Spec, o *Options) { o.Cgroup = Cgroup{} }, mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup"}))},

		{`linux.devices: "dev/x" is not an absolute path`, wrong, device(specs.LinuxDevice{Path: "dev/x", Type: "c"})},
		{`unknown type "z"`, wrong, device(specs.LinuxDevice{Path: "/dev/x", Type: "z"})},
		{"device number 4096:1 is out of range", wrong, device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 4096, Minor: 1})},
		{"device number 1:-1 is out of range", wrong, device(specs.LinuxDevice{Path: "/dev/x", Type: "b", Major: 1, Minor: -1})},
		{`"/dev/x" is listed twice with different values`, wrong, both(device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 1}), device(specs.LinuxDevice{Path: "/dev/x", Type: "b", Major: 1}))},
		{`"/dev/none": a container with a user namespace gets the host's node`, missing, both(userNamespace, device(specs.LinuxDevice{Path: "/dev/none", Type: "c", Major: 1}))},
		{`linux.maskedPaths: "proc/x" is not an absolute path`, wrong, onLinux(func(l *specs.Linux) { l.MaskedPaths = []string{"proc/x"} })},
		{`linux.readonlyPaths: "proc/x" is not an absolute path`, wrong, onLinux(func(l *specs.Linux) { l.ReadonlyPaths = []string{"proc/x"} })},

		{"belongs to no namespace and would change the host", wrong, sysctl("vm.swappiness")},
		{"is not the name of a kernel parameter", wrong, sysctl("net//../../kernel/core_pattern")},
		{"is not the name of a kernel parameter", wrong, sysctl("net/../kernel/core_pattern")},
		{"conflicts with the field hostname", wrong, sysctl("kernel.hostname")},
		{"needs a user namespace", wrong, sysctl("user.max_user_namespaces")},
		{"needs an ipc namespace", wrong, both(without(specs.IPCNamespace), sysctl("kernel.shmmax"))},
		{"needs an ipc namespace", wrong, both(without(specs.IPCNamespace), sysctl("fs.mqueue.msg_max"))},
		{"needs a network namespace", wrong, both(without(specs.NetworkNamespace), sysctl("net.ipv4.ip_forward"))},
		{"needs a uts namespace", wrong, both(without(specs.UTSNamespace), sysctl("kernel.domainname"))},
		{"is the host's network namespace", wrong, both(without(specs.NetworkNamespace), namespace(specs.NetworkNamespace, "/proc/self/ns/net"), sysctl("net/ipv4/ip_forward"))},

		{`hooks.poststop: path "x" is not absolute`, wrong, hook(specs.Hook{Path: "x"})},
		{`timeout of "/x" is 0 seconds; it must be positive`, wrong, hook(specs.Hook{Path: "/x", Timeout: &zero})},
		{"is -1 seconds", wrong, hook(specs.Hook{Path: "/x", Timeout: &minus})},
		{"contains a NUL byte", wrong, hook(specs.Hook{Path: "/x", Env: []string{"a=\x00"}})},

		{"process: it is missing", wrong, func(s *specs.Spec, _ *Options) { s.Process = nil }},
		{"there is no program to run", wrong, onProcess(func(p *specs.Process) { p.Args = nil })},
		{"the name of the program is empty", wrong, onProcess(func(p *specs.Process) { p.Args = []string{""} })},
		{"process.cwd: it is empty", wrong, onProcess(func(p *specs.Process) { p.Cwd = "" })},
		{`process.cwd: "srv" is not an absolute path`, wrong, onProcess(func(p *specs.Process) { p.Cwd = "srv" })},
		{`process.env: "A" is not NAME=value`, wrong, onProcess(func(p *specs.Process) { p.Env = []string{"A"} })},
		{`process.env: "=b" is not NAME=value`, wrong, onProcess(func(p *specs.Process) { p.Env = []string{"=b"} })},
		{"process.args: \"a\\x00b\" contains a NUL byte", wrong, onProcess(func(p *specs.Process) { p.Args = []string{"a\x00b"} })},
		{"process.args: entry 1 has 131072 bytes; the kernel takes 131071 (argument list too long)", wrong, onProcess(func(p *specs.Process) { p.Args = []string{"a", strings.Repeat("b", 128<<10)} })},
		{"the kernel takes 2097152 with this RLIMIT_STACK (argument list too long)", wrong, onProcess(func(p *specs.Process) {
			for range 20 {
				p.Args = append(p.Args, strings.Repeat("b", 127<<10))
			}
		})},
		{"the kernel takes 131072 with this RLIMIT_STACK", wrong, onProcess(func(p *specs.Process) {
			p.Args = append(p.Args, strings.Repeat("b", 120<<10), strings.Repeat("b", 120<<10))
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_STACK", Soft: 4096, Hard: 4096}}
		})},
		{"umask: 01000 has more than permission bits", wrong, onProcess(func(p *specs.Process) { p.User.Umask = &badMask })},
		{"4294967295 is not an id", wrong, onProcess(func(p *specs.Process) { p.User.UID = 1<<32 - 1 })},
		{"65537 groups", wrong, onProcess(func(p *specs.Process) { p.User.AdditionalGids = make([]uint32, 65537) })},
		{"effective has CAP_KILL, which permitted has not", wrong, onProcess(func(p *specs.Process) { p.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_KILL"}} })},
		{`unknown type "RLIMIT_X"`, wrong, onProcess(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} })},
		{"RLIMIT_CPU is listed twice", wrong, onProcess(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}} })},
		{"the soft limit 2 is above the hard limit 1", wrong, onProcess(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU", Soft: 2, Hard: 1}} })},
		{"is above this host's fs.nr_open, 1000", unready, both(
			func(_ *specs.Spec, o *Options) { o.Host.MaxFiles = 1000 },
			onProcess(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1001}} }))},
		{"oomScoreAdj: 1001 is not between", wrong, onProcess(func(p *specs.Process) { p.OOMScoreAdj = &big })},
		{`unknown policy "SCHED_X"`, wrong, scheduler(specs.Scheduler{Policy: "SCHED_X"})},
		{"SCHED_ISO is not implemented", unsupported, scheduler(specs.Scheduler{Policy: specs.SchedISO})},
		{"nice 20 is not between", wrong, scheduler(specs.Scheduler{Policy: specs.SchedOther, Nice: 20})},
		{"priority 0 is not between 1 and 99", wrong, scheduler(specs.Scheduler{Policy: specs.SchedFIFO})},
		{"a priority is for SCHED_FIFO and SCHED_RR", wrong, scheduler(specs.Scheduler{Policy: specs.SchedBatch, Priority: 1})},
		{"are for SCHED_DEADLINE, not SCHED_RR", wrong, scheduler(specs.Scheduler{Policy: specs.SchedRR, Priority: 1, Runtime: 1})},
		{"needs 0 < runtime <= deadline <= period", wrong, scheduler(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 5, Deadline: 4})},
		{`unknown flag "SCHED_FLAG_X"`, wrong, scheduler(specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"SCHED_FLAG_X"}})},
		{`execCPUAffinity.initial: "x" in "1,x" is not a cpu`, wrong, onProcess(func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "1,x"} })},
		{`unknown class "x"`, wrong, onProcess(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: "x"} })},
		{"priority 8 is not between 0 and 7", wrong, onProcess(func(p *specs.Process) {
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
		})},
		{`unknown domain "LINUX64"`, wrong, onLinux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "LINUX64"} })},
		{"AppArmor is not enabled on this host", unready, onProcess(func(p *specs.Process) { p.ApparmorProfile = "docker-default" })},
		{"SELinux is not enabled on this host", unready, onProcess(func(p *specs.Process) { p.SelinuxLabel = "system_u:r:container_t:s0" })},
		{"only one can be entered at exec", wrong, both(
			func(_ *specs.Spec, o *Options) { o.Host.AppArmor, o.Host.SELinux = true, true },
			onProcess(func(p *specs.Process) { p.SelinuxLabel, p.ApparmorProfile = "l", "p" }))},
		{"consoleSize: 70000x1 is more than 65535", wrong, onProcess(func(p *specs.Process) { p.Terminal, p.ConsoleSize = true, &specs.Box{Width: 70000, Height: 1} })},
		{"this build has no seccomp support", unready, onLinux(func(l *specs.Linux) { l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow} })},
	} {
		t.Run(test.want, func(t *testing.T) {
			spec, opts := readSpec(t, "containerd-default.json"), testOptions()
			test.mutate(spec, &opts)
			req, _, err := Translate(spec, opts)
			if err == nil || req != nil {
				t.Fatalf("it was accepted: %+v", req)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q", err)
			}
			if !errors.Is(err, test.class) {
				t.Errorf("%v is not of class %q", err, test.class)
			}
		})
	}
}
