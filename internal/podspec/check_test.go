// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	megabyte = strings.Repeat("x", 1<<20)
	nul      = "a\x00b"
	lines    = "a\nb"
)

// refused checks the class, that the field is named and that the value is not repeated at length.
func refused(t *testing.T, err error, field string) {
	t.Helper()
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("got %v, want InvalidArgument for %s", err, field)
		return
	}
	if !strings.Contains(err.Error(), field) {
		t.Errorf("%v does not name %s", err, field)
	}
	if len(err.Error()) > 2000 {
		t.Errorf("an error of %d bytes for %s", len(err.Error()), field)
	}
}

// pod is a good configuration that change spoils.
func pod(change func(*runtime.PodSandboxConfig)) *runtime.PodSandboxConfig {
	cfg := &runtime.PodSandboxConfig{
		Metadata:     &runtime.PodSandboxMetadata{Name: "p", Namespace: "n", Uid: "u"},
		Hostname:     "h",
		LogDirectory: "/var/log/pods/n_p_u",
		DnsConfig:    &runtime.DNSConfig{Servers: []string{"10.0.0.1"}, Searches: []string{"."}, Options: []string{"ndots:5"}},
		PortMappings: []*runtime.PortMapping{{ContainerPort: 80, HostPort: 8080, HostIp: "::1"}, {ContainerPort: 1, Protocol: runtime.Protocol_SCTP}},
		Labels:       map[string]string{"app": "x"},
		Annotations:  map[string]string{"a": "line\nline"},
		Linux: &runtime.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/pod1",
			Sysctls:      map[string]string{"net.ipv4.ip_forward": "1"},
			Resources:    &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: -1},
			SecurityContext: &runtime.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER},
				RunAsUser:        &runtime.Int64Value{Value: 65534}, SupplementalGroups: []int64{1},
				Seccomp: &runtime.SecurityProfile{}, SelinuxOptions: &runtime.SELinuxOption{Level: "s0:c1,c2"},
			},
		},
	}
	change(cfg)
	return cfg
}

func TestCheckPod(t *testing.T) {
	tr := newTranslator(t, testNode())
	if err := tr.CheckPod(pod(func(*runtime.PodSandboxConfig) {})); err != nil {
		t.Fatal(err)
	}
	if err := tr.CheckPod(&runtime.PodSandboxConfig{Metadata: &runtime.PodSandboxMetadata{Name: "p"}}); err != nil {
		t.Error("the least is enough:", err)
	}
	refused(t, tr.CheckPod(nil), "config")
	type cfg = *runtime.PodSandboxConfig
	for field, spoil := range map[string]func(cfg){
		"metadata: the name":          func(c cfg) { c.Metadata = nil },
		"metadata.name":               func(c cfg) { c.Metadata.Name = "a/b" },
		"metadata.namespace":          func(c cfg) { c.Metadata.Namespace = ".." },
		"metadata.uid":                func(c cfg) { c.Metadata.Uid = megabyte },
		"hostname":                    func(c cfg) { c.Hostname = strings.Repeat("h", 65) },
		"hostname: \"a b\"":           func(c cfg) { c.Hostname = "a b" },
		"hostname: \"a\\x00b\"":       func(c cfg) { c.Hostname = nul },
		"log_directory":               func(c cfg) { c.LogDirectory = "var/log" },
		"log_directory: \"/var/..":    func(c cfg) { c.LogDirectory = "/var/../etc" },
		"dns_config.servers":          func(c cfg) { c.DnsConfig.Servers = []string{"1.1.1.1\nsearch evil"} },
		"dns_config.searches":         func(c cfg) { c.DnsConfig.Searches = []string{""} },
		"dns_config.options":          func(c cfg) { c.DnsConfig.Options = []string{"a b"} },
		"port_mappings[0].protocol":   func(c cfg) { c.PortMappings[0].Protocol = 9 },
		"port_mappings[0].host_port":  func(c cfg) { c.PortMappings[0].HostPort = 65536 },
		"port_mappings[1].container_": func(c cfg) { c.PortMappings[1].ContainerPort = -1 },
		"port_mappings[0].container_": func(c cfg) { c.PortMappings[0].ContainerPort = 0 },
		"port_mappings[0].host_ip":    func(c cfg) { c.PortMappings[0].HostIp = "localhost" },
		"labels: a key":               func(c cfg) { c.Labels[""] = "x" },
		"labels: \"big\"":             func(c cfg) { c.Labels["big"] = megabyte },
		"labels: \"a\\nb\"":           func(c cfg) { c.Labels[lines] = "" },
		"annotations: ":               func(c cfg) { c.Annotations["a"], c.Annotations["b"] = megabyte[:300<<10], megabyte[:300<<10] },
		"annotations: k":              func(c cfg) { c.Annotations["k"] = nul },
		"linux.cgroup_parent":         func(c cfg) { c.Linux.CgroupParent = "/a/../.." },
		"linux.sysctls: \"kernel.ms":  func(c cfg) { c.Linux.Sysctls["kernel.msg"] = "1" },
		"linux.overhead.cpu_period":   func(c cfg) { c.Linux.Overhead = &runtime.LinuxContainerResources{CpuPeriod: 1} },
		"linux.resources.cpu_quota":   func(c cfg) { c.Linux.Resources.CpuQuota = -2 },
		"namespace_options.network":   func(c cfg) { c.Linux.SecurityContext.NamespaceOptions.Network = -1 },
		"namespace_options.ipc":       func(c cfg) { c.Linux.SecurityContext.NamespaceOptions.Ipc = 17 },
		"namespace_options.pid":       func(c cfg) { c.Linux.SecurityContext.NamespaceOptions.Pid = runtime.NamespaceMode_TARGET },
		"namespace_options.target_id": func(c cfg) { c.Linux.SecurityContext.NamespaceOptions.TargetId = "../x" },
		"run_as_user":                 func(c cfg) { c.Linux.SecurityContext.RunAsUser.Value = -1 },
		"run_as_group":                func(c cfg) { c.Linux.SecurityContext.RunAsGroup = &runtime.Int64Value{Value: 1 << 40} },
		"supplemental_groups":         func(c cfg) { c.Linux.SecurityContext.SupplementalGroups = []int64{-1} },
		"supplemental_groups: 65537":  func(c cfg) { c.Linux.SecurityContext.SupplementalGroups = make([]int64, 65537) },
		"supplemental_groups_policy":  func(c cfg) { c.Linux.SecurityContext.SupplementalGroupsPolicy = 2 },
		"selinux_options.level":       func(c cfg) { c.Linux.SecurityContext.SelinuxOptions.Level = "s0:c99999" },
		"selinux_options: \"a\\nb":    func(c cfg) { c.Linux.SecurityContext.SelinuxOptions.User = lines },
		"seccomp.profile_type":        func(c cfg) { c.Linux.SecurityContext.Seccomp.ProfileType = 3 },
		"apparmor.localhost_ref":      func(c cfg) { c.Linux.SecurityContext.Apparmor = &runtime.SecurityProfile{ProfileType: 2} },
	} {
		t.Run(field, func(t *testing.T) { refused(t, tr.CheckPod(pod(spoil)), field) })
	}
}

func TestCheckContainer(t *testing.T) {
	tr := newTranslator(t, testNode())
	type cfg = *runtime.ContainerConfig
	mount := func(change func(*runtime.Mount)) func(cfg) {
		return func(c cfg) {
			m := &runtime.Mount{ContainerPath: "/v", HostPath: "/h"}
			change(m)
			c.Mounts = append(c.Mounts, m)
		}
	}
	resources := func(change func(*runtime.LinuxContainerResources)) func(cfg) {
		return func(c cfg) {
			c.Linux.Resources = &runtime.LinuxContainerResources{}
			change(c.Linux.Resources)
		}
	}
	type r = *runtime.LinuxContainerResources
	for field, spoil := range map[string]func(cfg){
		"metadata: the name":        func(c cfg) { c.Metadata = nil },
		"metadata.name":             func(c cfg) { c.Metadata.Name = "a/b" },
		"log_path":                  func(c cfg) { c.LogPath = "../../etc/passwd" },
		"stop_signal":               func(c cfg) { c.StopSignal = 66 },
		"labels":                    func(c cfg) { c.Labels = map[string]string{"a": megabyte} },
		"annotations":               func(c cfg) { c.Annotations = map[string]string{"a": megabyte} },
		"image.user_specified_imag": func(c cfg) { c.Image.UserSpecifiedImage = lines },
		"command and args":          func(c cfg) { c.Args = []string{nul} },
		"command and args: 1048576": func(c cfg) { c.Command = []string{megabyte} },
		"envs: a key":               func(c cfg) { c.Envs = []*runtime.KeyValue{{}} },
		"envs: key \"A=B\"":         func(c cfg) { c.Envs = []*runtime.KeyValue{{Key: "A=B"}} },
		"envs: \"A\"":               func(c cfg) { c.Envs = []*runtime.KeyValue{{Key: "A", Value: []byte(megabyte)}} },
		"working_dir":               func(c cfg) { c.WorkingDir = lines },
		"mount /v: host_path":       mount(func(m *runtime.Mount) { m.HostPath = nul }),
		"mount /v: host_path: \"\"": mount(func(m *runtime.Mount) { m.HostPath = "" }),
		"mount /v: image_sub_path":  mount(func(m *runtime.Mount) { m.ImageSubPath = "x" }),
		"mount /v: propagation":     mount(func(m *runtime.Mount) { m.Propagation = -1 }),
		"mounts.container_path: 40": mount(func(m *runtime.Mount) { m.ContainerPath = "/" + strings.Repeat("v", 4096) }),
		"mount /v: uid_mappings": mount(func(m *runtime.Mount) {
			m.UidMappings, m.GidMappings = []*runtime.IDMapping{{}}, []*runtime.IDMapping{{}}
		}),
		"devices.host_path": func(c cfg) { c.Devices = []*runtime.Device{{HostPath: "dev/x", Permissions: "r"}} },
		"devices.container_path": func(c cfg) {
			c.Devices = []*runtime.Device{{HostPath: "/dev/null", ContainerPath: "x", Permissions: "r"}}
		},
		"devices[0].permissions": func(c cfg) { c.Devices = []*runtime.Device{{HostPath: "/dev/null", Permissions: "rwmr"}} },
		"CDI_devices":            func(c cfg) { c.CDIDevices = []*runtime.CDIDevice{{Name: lines}} },
		"CDI_devices: a name":    func(c cfg) { c.CDIDevices = []*runtime.CDIDevice{{}} },
		"annotations: CDI":       func(c cfg) { c.Annotations = map[string]string{"cdi.k8s.io/x": "not a device"} },
		"capabilities": func(c cfg) {
			c.Linux.SecurityContext.Capabilities = &runtime.Capability{DropCapabilities: []string{""}}
		},
		"capabilities: 1048576": func(c cfg) {
			c.Linux.SecurityContext.Capabilities = &runtime.Capability{AddCapabilities: []string{megabyte}}
		},
		"run_as_username":           func(c cfg) { c.Linux.SecurityContext.RunAsUsername = "a:b" },
		"masked_paths":              func(c cfg) { c.Linux.SecurityContext.MaskedPaths = []string{"proc"} },
		"readonly_paths":            func(c cfg) { c.Linux.SecurityContext.ReadonlyPaths = []string{"/a/.."} },
		"profile":                   func(c cfg) { c.Linux.SecurityContext.SeccompProfilePath = lines }, //nolint:staticcheck // older clients send it
		"resources.cpu_period":      resources(func(r r) { r.CpuPeriod = -1 }),
		"resources.cpu_period: 200": resources(func(r r) { r.CpuPeriod = 2000000 }),
		"resources.cpu_quota: 999":  resources(func(r r) { r.CpuQuota = 999 }),
		"resources.cpu_shares":      resources(func(r r) { r.CpuShares = -1 }),
		"resources.memory_limit":    resources(func(r r) { r.MemoryLimitInBytes = -2 }),
		"resources.memory_swap":     resources(func(r r) { r.MemorySwapLimitInBytes = -2 }),
		"memory_swap_limit_in_byte": resources(func(r r) { r.MemorySwapLimitInBytes = 5 }),
		"resources.oom_score_adj":   resources(func(r r) { r.OomScoreAdj = 1001 }),
		"resources.cpuset_cpus":     resources(func(r r) { r.CpusetCpus = "3-1" }),
		"resources.cpuset_mems":     resources(func(r r) { r.CpusetMems = "0\n1" }),
		"resources.hugepage_limits": resources(func(r r) { r.HugepageLimits = []*runtime.HugepageLimit{{PageSize: "../2MB"}} }),
		"resources.unified":         resources(func(r r) { r.Unified = map[string]string{"../x.y": "1"} }),
		"resources.unified: \"cpu":  resources(func(r r) { r.Unified = map[string]string{"cpu": "1"} }),
		"unified: memory.high":      resources(func(r r) { r.Unified = map[string]string{"memory.high": nul} }),
	} {
		t.Run(field, func(t *testing.T) {
			c := testContainer()
			spoil(c.Config)
			_, err := tr.Translate(c)
			refused(t, err, field)
		})
	}
	_, err := tr.Translate(&Container{})
	refused(t, err, "config")
}

// TestNilMessages: protobuf lists may hold nil, from a careless client in the same process.
func TestNilMessages(t *testing.T) {
	c := testContainer()
	c.Config.Mounts, c.Config.Envs = []*runtime.Mount{nil}, []*runtime.KeyValue{nil}
	c.Config.Devices, c.Config.CDIDevices = []*runtime.Device{nil}, []*runtime.CDIDevice{nil}
	if _, err := newTranslator(t, testNode()).Translate(c); err == nil {
		t.Error("taken")
	}
}

func TestLongAllowed(t *testing.T) {
	c := testContainer()
	c.Config.Args = []string{"a\nb", megabyte[:maxArgument]}
	c.Config.Envs = []*runtime.KeyValue{{Key: "A", Value: []byte("line\nline")}}
	c.Config.Annotations = map[string]string{"a": megabyte[:256<<10]}
	c.Config.Command = []string{"/x"}
	translate(t, testNode(), c)
}
