// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
)

// onlyWarning checks that there is one warning and that it says want.
func onlyWarning(t *testing.T, warnings []string, want string) {
	t.Helper()
	if len(warnings) != 1 || !strings.Contains(warnings[0], want) {
		t.Errorf("warnings %q, want one with %q", warnings, want)
	}
}

func TestProcess(t *testing.T) {
	umask := uint32(0o027)
	score := 500
	req, warnings := translate(t, both(userNamespace, onLinux(func(l *specs.Linux) {
		l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	}), func(s *specs.Spec, _ *Options) {
		s.Process = &specs.Process{
			Args: []string{"sh", "-c", "true"}, Env: []string{"A=1", "B=2", "A=3"}, Cwd: "/srv//x/..",
			User:            specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3, 4}, Umask: &umask},
			Terminal:        true,
			ConsoleSize:     &specs.Box{Width: 80, Height: 25},
			NoNewPrivileges: true,
			OOMScoreAdj:     &score,
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}, {Type: "RLIMIT_RTTIME", Soft: 1, Hard: unix.RLIM_INFINITY}},
			Scheduler: &specs.Scheduler{
				Policy: specs.SchedDeadline, Runtime: 1, Deadline: 2, Period: 3,
				Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagDLOverrun},
			},
			IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE},
		}
	}))
	if len(warnings) != 0 {
		t.Errorf("warnings: %q", warnings)
	}
	linux32, adj := uint64(8), int64(500)
	want := plan.Process{
		Args: []string{"sh", "-c", "true"}, Env: []string{"B=2", "A=3"}, Cwd: "/srv",
		UID: 1, GID: 2, Groups: []uint32{3, 4}, Umask: 0o027,
		Capabilities: &plan.Capabilities{}, NoNewPrivs: true,
		Rlimits:     []plan.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 5, Max: 6}, {Resource: 15, Soft: 1, Max: unix.RLIM_INFINITY}},
		OOMScoreAdj: &adj, Scheduler: &plan.Scheduler{Policy: unix.SCHED_DEADLINE, Flags: 1 | 4, Runtime: 1, Deadline: 2, Period: 3},
		IOPriority: 3 << 13, Personality: &linux32, KeyringName: "_ses.c1",
		Terminal: true, ConsoleWidth: 80, ConsoleHeight: 25,
	}
	if got := req.Plan.Process; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestNothingAsked: what the spec leaves out is left alone.
func TestNothingAsked(t *testing.T) {
	req, _ := translate(t, onProcess(func(p *specs.Process) { *p = specs.Process{Args: []string{"a"}, Cwd: "/"} }))
	want := plan.Process{
		Args: []string{"a"}, Cwd: "/", Umask: -1, IOPriority: -1, Capabilities: &plan.Capabilities{}, KeyringName: "_ses.c1",
	}
	if got := req.Plan.Process; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestCapabilities(t *testing.T) {
	names := func(list ...string) []string { return list }
	for _, test := range []struct {
		name    string
		caps    specs.LinuxCapabilities
		host    mutation
		want    plan.Capabilities
		warning string
	}{
		{
			name: "five sets",
			caps: specs.LinuxCapabilities{
				Bounding:  names("CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE"),
				Effective: names("CAP_CHOWN"), Permitted: names("CAP_CHOWN", "CAP_KILL"),
				Inheritable: names("CAP_KILL"), Ambient: names("CAP_KILL"),
			},
			want: plan.Capabilities{Bounding: 1 | 1<<5 | 1<<40, Effective: 1, Permitted: 1 | 1<<5, Inheritable: 1 << 5, Ambient: 1 << 5},
		}, {
			name:    "unknown",
			caps:    specs.LinuxCapabilities{Bounding: names("CAP_FUTURE", "CAP_CHOWN"), Permitted: names("CAP_FUTURE")},
			want:    plan.Capabilities{Bounding: 1},
			warning: "CAP_FUTURE unknown to this kernel",
		}, {
			name:    "older kernel",
			caps:    specs.LinuxCapabilities{Bounding: names("CAP_BPF", "CAP_CHOWN")},
			host:    func(_ *specs.Spec, o *Options) { o.Host.LastCap = 37 },
			want:    plan.Capabilities{Bounding: 1},
			warning: "CAP_BPF unknown to this kernel",
		}, {
			name:    "ambient alone",
			caps:    specs.LinuxCapabilities{Ambient: names("CAP_CHOWN"), Permitted: names("CAP_CHOWN")},
			want:    plan.Capabilities{Permitted: 1},
			warning: "ambient CAP_CHOWN is ignored",
		}, {
			name:    "poor daemon",
			caps:    specs.LinuxCapabilities{Bounding: names("CAP_SYS_RESOURCE", "CAP_CHOWN"), Permitted: names("CAP_SYS_RESOURCE")},
			host:    func(_ *specs.Spec, o *Options) { o.Host.Capabilities &^= 1 << unix.CAP_SYS_RESOURCE },
			want:    plan.Capabilities{Bounding: 1},
			warning: "the daemon itself lacks CAP_SYS_RESOURCE",
		}, {
			name: "poor daemon, user namespace",
			caps: specs.LinuxCapabilities{Bounding: names("CAP_SYS_RESOURCE")},
			host: both(userNamespace, func(_ *specs.Spec, o *Options) { o.Host.Capabilities &^= 1 << unix.CAP_SYS_RESOURCE }),
			want: plan.Capabilities{Bounding: 1 << unix.CAP_SYS_RESOURCE},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := onProcess(func(p *specs.Process) { p.Capabilities = &test.caps })
			if test.host != nil {
				m = both(m, test.host)
			}
			req, warnings := translate(t, m)
			if got := *req.Plan.Process.Capabilities; got != test.want {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
			if test.warning == "" && len(warnings) == 0 {
				return
			}
			onlyWarning(t, warnings, test.warning)
		})
	}
}

// poor is a daemon without CAP_SYS_RESOURCE, with oom_score_adj -100 and at most 4096 files.
func poor(_ *specs.Spec, o *Options) {
	o.Host.Capabilities &^= 1 << unix.CAP_SYS_RESOURCE
	o.Host.OOMScoreAdj = -100
	o.Host.HardLimits[unix.RLIMIT_NOFILE] = 4096
}

func TestOOMScoreAdj(t *testing.T) {
	score := func(n int) mutation { return onProcess(func(p *specs.Process) { p.OOMScoreAdj = &n }) }
	req, warnings := translate(t, score(-999))
	if got := *req.Plan.Process.OOMScoreAdj; got != -999 || len(warnings) != 0 {
		t.Errorf("got %d, %q", got, warnings)
	}
	req, warnings = translate(t, both(poor, score(-999)))
	if got := *req.Plan.Process.OOMScoreAdj; got != -100 {
		t.Errorf("got %d, want the daemon's -100", got)
	}
	onlyWarning(t, warnings, "-999 is raised to -100")
	req, warnings = translate(t, both(poor, score(-50)))
	if got := *req.Plan.Process.OOMScoreAdj; got != -50 || len(warnings) != 0 {
		t.Errorf("got %d, %q", got, warnings)
	}
}

func TestRlimitOfPoorDaemon(t *testing.T) {
	limit := func(soft, hard uint64) mutation {
		return onProcess(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: soft, Hard: hard}}
		})
	}
	req, warnings := translate(t, both(poor, limit(1<<20, unix.RLIM_INFINITY)))
	if got, want := req.Plan.Process.Rlimits[0], (plan.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: 4096, Max: 4096}); got != want {
		t.Errorf("got %+v", got)
	}
	onlyWarning(t, warnings, "RLIMIT_NOFILE")
	if _, warnings = translate(t, both(poor, limit(1024, 4096))); len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
}

func TestIgnoredWithWarning(t *testing.T) {
	_, warnings := translate(t, func(_ *specs.Spec, o *Options) { o.NoPivotRoot = true })
	onlyWarning(t, warnings, "no_pivot_root is ignored")
	_, warnings = translate(t, onLinux(func(l *specs.Linux) {
		l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"X"}}
	}))
	onlyWarning(t, warnings, "flags [X] are ignored")
}

func TestLabels(t *testing.T) {
	req, _ := translate(t, onProcess(func(p *specs.Process) { p.ApparmorProfile = "unconfined" }))
	if got := req.Plan.Process.AppArmor; got != "" {
		t.Errorf("without AppArmor, %q is to be entered", got)
	}
	apparmor := func(_ *specs.Spec, o *Options) { o.Host.AppArmor = true }
	req, _ = translate(t, both(apparmor, onProcess(func(p *specs.Process) { p.ApparmorProfile = "cri-default" })))
	if got := req.Plan.Process.AppArmor; got != "cri-default" {
		t.Errorf("profile %q", got)
	}
	selinux := func(_ *specs.Spec, o *Options) { o.Host.SELinux = true }
	req, _ = translate(t, both(selinux, onProcess(func(p *specs.Process) { p.SelinuxLabel = "u:r:t:s0" })))
	if p := req.Plan.Process; p.SELinux != "u:r:t:s0" || p.KeyringLabel != "u:r:t:s0" {
		t.Errorf("label %q, of the keyring %q", p.SELinux, p.KeyringLabel)
	}
	req, _ = translate(t, func(_ *specs.Spec, o *Options) { o.NoNewKeyring = true })
	if got := req.Plan.Process.KeyringName; got != "" {
		t.Errorf("keyring %q", got)
	}
}

// compiler is a SeccompCompiler that remembers what it was asked.
type compiler struct{ asked *specs.LinuxSeccomp }

func (c *compiler) Compile(p *specs.LinuxSeccomp) (*plan.Seccomp, error) {
	c.asked = p
	return &plan.Seccomp{Program: []byte{1}}, nil
}

func TestSeccomp(t *testing.T) {
	profile := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	var c compiler
	req, _ := translate(t, func(s *specs.Spec, o *Options) { s.Linux.Seccomp, o.Seccomp = profile, &c })
	if c.asked != profile || req.Plan.Process.Seccomp == nil {
		t.Errorf("asked %v, got %v", c.asked, req.Plan.Process.Seccomp)
	}
}

func TestNamespaces(t *testing.T) {
	req, _ := translate(t, func(s *specs.Spec, _ *Options) {
		s.Hostname, s.Domainname = "h", "d"
		s.Linux.Namespaces = []specs.LinuxNamespace{
			{Type: specs.MountNamespace},
			{Type: specs.UTSNamespace},
			{Type: specs.CgroupNamespace},
			{Type: specs.TimeNamespace},
			{Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"},
			{Type: specs.IPCNamespace, Path: "/proc/self/ns/ipc"},
		}
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -5, Nanosecs: 7}}
	})
	n, p := req.Namespaces, req.Plan
	if n.New != unix.CLONE_NEWNS|unix.CLONE_NEWUTS || !p.UnshareCgroup {
		t.Errorf("new %#x, cgroup %v", n.New, p.UnshareCgroup)
	}
	join := []launch.Join{{Flag: unix.CLONE_NEWIPC, Path: "/proc/self/ns/ipc"}, {Flag: unix.CLONE_NEWNET, Path: "/proc/self/ns/net"}}
	slices.SortFunc(n.Join, func(a, b launch.Join) int { return int(a.Flag) - int(b.Flag) })
	if !slices.Equal(n.Join, join) {
		t.Errorf("join %+v", n.Join)
	}
	if offsets := []plan.TimeOffset{{Clock: "monotonic", Seconds: -5, Nanos: 7}, {Clock: "boottime"}}; !slices.Equal(p.TimeOffsets, offsets) {
		t.Errorf("offsets %+v", p.TimeOffsets)
	}
	if p.Hostname != "h" || p.Domainname != "d" || p.JoinMount != plan.NoFD {
		t.Errorf("%+v", p)
	}
}

// TestJoinedUserNamespace: containerd sends the path together with the maps.
func TestJoinedUserNamespace(t *testing.T) {
	maps, err := readIDMap("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	var same []specs.LinuxIDMapping
	for _, m := range maps {
		same = append(same, specs.LinuxIDMapping{ContainerID: m.Inside, HostID: m.Outside, Size: m.Size})
	}
	req, _ := translate(t, both(namespace(specs.UserNamespace, "/proc/self/ns/user"), onLinux(func(l *specs.Linux) {
		l.UIDMappings, l.GIDMappings = same, same
	})))
	if len(req.Namespaces.UIDs) != 0 || req.Namespaces.New&unix.CLONE_NEWUSER != 0 {
		t.Errorf("a user namespace is made: %+v", req.Namespaces)
	}
}

func TestSysctls(t *testing.T) {
	req, _ := translate(t, both(userNamespace, onLinux(func(l *specs.Linux) {
		l.Sysctl = map[string]string{
			"net.ipv4.ip_forward":                  "1",
			"net/ipv4/conf/eno2.100/rp_filter":     "2",
			"net.ipv4.conf.eno3/100.rp_filter":     "3",
			"kernel.shm_rmid_forced":               "4",
			"fs.mqueue.msg_max":                    "5",
			"kernel.domainname":                    "6",
			"user.max_user_namespaces":             "7",
			"net/ipv4/conf/eno4.100/accept_source": "8",
		}
	})))
	want := []plan.Pair{
		{Key: "fs/mqueue/msg_max", Value: "5"},
		{Key: "kernel/domainname", Value: "6"},
		{Key: "kernel/shm_rmid_forced", Value: "4"},
		{Key: "net/ipv4/conf/eno3.100/rp_filter", Value: "3"},
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv4/conf/eno2.100/rp_filter", Value: "2"},
		{Key: "net/ipv4/conf/eno4.100/accept_source", Value: "8"},
		{Key: "user/max_user_namespaces", Value: "7"},
	}
	if got := req.Plan.Sysctls; !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestParseCPUList(t *testing.T) {
	word := func(b ...byte) []byte { return append(b, make([]byte, 8-len(b))...) }
	for list, want := range map[string][]byte{
		"": nil, "0": word(1), "0-3,7": word(0x8f), " 1 , 3-3 ": word(0x0a), "8": word(0, 1), "63": {7: 0x80},
		"64": {8: 1, 15: 0},
	} {
		got, err := parseCPUList("f", list)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", list, got, err, want)
		}
	}
	for _, list := range []string{"a", "1-", "-1", "3-1", "1,,2", "8192", "0-99999999999999999999"} {
		if got, err := parseCPUList("f", list); err == nil {
			t.Errorf("%q gave %v", list, got)
		}
	}
}

func TestDetectHost(t *testing.T) {
	h, err := DetectHost()
	if err != nil {
		t.Fatal(err)
	}
	if h.LastCap < unix.CAP_BLOCK_SUSPEND || h.StackLimit == 0 || h.HardLimits[unix.RLIMIT_NOFILE] == 0 {
		t.Errorf("%+v", h)
	}
	if unix.Geteuid() == 0 && !h.can(unix.CAP_CHOWN) {
		t.Error("root without CAP_CHOWN")
	}
}
