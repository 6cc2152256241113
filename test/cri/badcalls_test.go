// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Ids that nothing has, in shapes that somebody might take for a path.
var (
	unknown = strings.Repeat("0123456789abcdef", 4)
	hostile = []string{"", "../../etc", "/", "a/b", ".", "\x00", "%s%n", strings.Repeat("a", 1<<20)}
)

var (
	ok         = []codes.Code{codes.OK}
	missing    = []codes.Code{codes.NotFound}
	malformed  = []codes.Code{codes.InvalidArgument}
	wrongState = []codes.Code{codes.FailedPrecondition}
	taken      = []codes.Code{codes.AlreadyExists}
	absent     = []codes.Code{codes.Unimplemented}
	// refused is for ids that are no ids: there is nothing by such a name.
	refused = []codes.Code{codes.NotFound, codes.InvalidArgument}
	// gone is for ids of calls that undo: there is nothing left to undo.
	gone = []codes.Code{codes.OK, codes.InvalidArgument}
	// harmlessly is for what may be taken as it is, or not.
	harmlessly = []codes.Code{codes.OK, codes.InvalidArgument}
	// notHere is for what the node would have to have.
	notHere   = []codes.Code{codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition}
	untilLeft = []codes.Code{codes.DeadlineExceeded}
)

// badCalls are all rows, by call.
var badCalls = concat(
	queries, runPodSandbox, podCalls, createContainer, containerCalls, execCalls, streamCalls, statsCalls, imageCalls,
)

func concat(lists ...[]badCall) (all []badCall) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// fixed is a request that does not depend on what is there.
func fixed(m proto.Message) func(*fixture) proto.Message {
	return func(*fixture) proto.Message { return m }
}

// by is a request with an id.
func by[M proto.Message](id string, request func(id string) M) func(*fixture) proto.Message {
	return func(*fixture) proto.Message { return request(id) }
}

// eachID has a row for an unknown id, and for every hostile one.
func eachID[M proto.Message](rpc string, unknownCodes, hostileCodes []codes.Code, request func(id string) M) []badCall {
	rows := []badCall{{rpc, "unknown id", by(unknown, request), unknownCodes}}
	for _, id := range hostile {
		name := strings.ReplaceAll(id[:min(len(id), 10)], "/", "|")
		rows = append(rows, badCall{rpc, "id " + name, by(id, request), hostileCodes})
	}
	return rows
}

// queries are calls that ask for something general. Nonsense in them finds
// nothing, or is not looked at.
var queries = []badCall{
	{"Version", "nonsense", fixed(&runtime.VersionRequest{Version: "../1"}), ok},
	{"Status", "verbose", fixed(&runtime.StatusRequest{Verbose: true}), ok},
	{"RuntimeConfig", "empty", fixed(&runtime.RuntimeConfigRequest{}), ok},
	{"UpdateRuntimeConfig", "empty", fixed(&runtime.UpdateRuntimeConfigRequest{}), ok},
	{"UpdateRuntimeConfig", "no CIDR", fixed(cidr("10.1.2.3")), malformed},
	{"UpdateRuntimeConfig", "path", fixed(cidr("../../10.0.0.0/8")), malformed},
	{"ListPodSandbox", "filter", fixed(&runtime.ListPodSandboxRequest{Filter: podFilter}), ok},
	{"StreamPodSandboxes", "filter", fixed(&runtime.StreamPodSandboxesRequest{Filter: podFilter}), ok},
	{"ListContainers", "filter", fixed(&runtime.ListContainersRequest{Filter: containerFilter}), ok},
	{"StreamContainers", "filter", fixed(&runtime.StreamContainersRequest{Filter: containerFilter}), ok},
	{"GetContainerEvents", "left", fixed(&runtime.GetEventsRequest{}), untilLeft},
	{"ListMetricDescriptors", "empty", fixed(&runtime.ListMetricDescriptorsRequest{}), ok},
	{"ListPodSandboxMetrics", "empty", fixed(&runtime.ListPodSandboxMetricsRequest{}), ok},
	{"StreamPodSandboxMetrics", "empty", fixed(&runtime.StreamPodSandboxMetricsRequest{}), ok},
	{"ImageFsInfo", "empty", fixed(&runtime.ImageFsInfoRequest{}), ok},
}

var (
	podFilter = &runtime.PodSandboxFilter{
		Id: "../..", State: &runtime.PodSandboxStateValue{State: 99}, LabelSelector: map[string]string{"": "\x01"},
	}
	containerFilter = &runtime.ContainerFilter{
		Id: "/", PodSandboxId: "..", State: &runtime.ContainerStateValue{State: 99}, LabelSelector: map[string]string{"a/../b": ""},
	}
)

func cidr(text string) *runtime.UpdateRuntimeConfigRequest {
	return &runtime.UpdateRuntimeConfigRequest{RuntimeConfig: &runtime.RuntimeConfig{NetworkConfig: &runtime.NetworkConfig{PodCidr: text}}}
}

// podRequest runs a pod that something is wrong with.
func podRequest(change func(f *fixture, r *runtime.RunPodSandboxRequest)) func(*fixture) proto.Message {
	return func(f *fixture) proto.Message {
		r := &runtime.RunPodSandboxRequest{Config: f.node.PodConfig()}
		change(f, r)
		return r
	}
}

// podConfig is podRequest for its configuration.
func podConfig(change func(c *runtime.PodSandboxConfig)) func(*fixture) proto.Message {
	return podRequest(func(_ *fixture, r *runtime.RunPodSandboxRequest) { change(r.Config) })
}

func namespaces(c *runtime.PodSandboxConfig) *runtime.NamespaceOption {
	return c.Linux.SecurityContext.NamespaceOptions
}

var runPodSandbox = []badCall{
	{"RunPodSandbox", "no config", fixed(&runtime.RunPodSandboxRequest{}), malformed},
	{"RunPodSandbox", "no metadata", podConfig(func(c *runtime.PodSandboxConfig) { c.Metadata = nil }), malformed},
	{"RunPodSandbox", "no name", podConfig(func(c *runtime.PodSandboxConfig) { c.Metadata.Name = "" }), malformed},
	{"RunPodSandbox", "name in use", podRequest(func(f *fixture, r *runtime.RunPodSandboxRequest) { r.Config.Metadata = f.pod.Config.Metadata }), taken},
	{"RunPodSandbox", "name is a path", podConfig(func(c *runtime.PodSandboxConfig) { c.Metadata.Name = "../../../tmp/x" }), harmlessly},
	{"RunPodSandbox", "namespace is a path", podConfig(func(c *runtime.PodSandboxConfig) { c.Metadata.Namespace = "/etc" }), harmlessly},
	{"RunPodSandbox", "uid is a path", podConfig(func(c *runtime.PodSandboxConfig) { c.Metadata.Uid = "../.." }), harmlessly},
	{"RunPodSandbox", "label of 1 MB", podConfig(func(c *runtime.PodSandboxConfig) {
		c.Labels = map[string]string{"big": strings.Repeat("x", 1<<20)}
	}), harmlessly},
	{"RunPodSandbox", "annotation of 1 MB", podConfig(func(c *runtime.PodSandboxConfig) {
		c.Annotations = map[string]string{"big": strings.Repeat("x", 1<<20)}
	}), harmlessly},
	{"RunPodSandbox", "unknown handler", podRequest(func(_ *fixture, r *runtime.RunPodSandboxRequest) { r.RuntimeHandler = "nonesuch" }), refused},
	{"RunPodSandbox", "handler is a path", podRequest(func(_ *fixture, r *runtime.RunPodSandboxRequest) { r.RuntimeHandler = "../runc" }), refused},
	{"RunPodSandbox", "host name too long", podConfig(func(c *runtime.PodSandboxConfig) { c.Hostname = strings.Repeat("h", 300) }), malformed},
	{"RunPodSandbox", "host name with a line break", podConfig(func(c *runtime.PodSandboxConfig) { c.Hostname = "a\nb" }), malformed},
	{"RunPodSandbox", "log directory is relative", podConfig(func(c *runtime.PodSandboxConfig) { c.LogDirectory = "../../tmp" }), harmlessly},
	{"RunPodSandbox", "sysctl of the node", podConfig(func(c *runtime.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"vm.overcommit_memory": "2"}
	}), malformed},
	{"RunPodSandbox", "sysctl is a path", podConfig(func(c *runtime.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"net/../vm/overcommit_memory": "2"}
	}), malformed},
	{"RunPodSandbox", "sysctl of the node's network", podConfig(func(c *runtime.PodSandboxConfig) {
		HostNetwork(c)
		c.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "0"}
	}), malformed},
	{"RunPodSandbox", "network of a target", podConfig(func(c *runtime.PodSandboxConfig) { namespaces(c).Network = runtime.NamespaceMode_TARGET }), malformed},
	{"RunPodSandbox", "network mode unknown", podConfig(func(c *runtime.PodSandboxConfig) { namespaces(c).Network = 99 }), malformed},
	{"RunPodSandbox", "user namespace of a target", podConfig(func(c *runtime.PodSandboxConfig) {
		namespaces(c).UsernsOptions = &runtime.UserNamespace{Mode: runtime.NamespaceMode_TARGET}
	}), malformed},
	{"RunPodSandbox", "user namespace without maps", podConfig(func(c *runtime.PodSandboxConfig) {
		namespaces(c).UsernsOptions = &runtime.UserNamespace{Mode: runtime.NamespaceMode_POD}
	}), malformed},
	{"RunPodSandbox", "port too high", podConfig(func(c *runtime.PodSandboxConfig) {
		c.PortMappings = []*runtime.PortMapping{{ContainerPort: 80, HostPort: 70000}}
	}), malformed},
	{"RunPodSandbox", "port repeated", podConfig(func(c *runtime.PodSandboxConfig) {
		p := &runtime.PortMapping{ContainerPort: 80, HostPort: 8000}
		c.PortMappings = []*runtime.PortMapping{p, p}
	}), harmlessly},
	{"RunPodSandbox", "host IP is none", podConfig(func(c *runtime.PodSandboxConfig) {
		c.PortMappings = []*runtime.PortMapping{{ContainerPort: 80, HostPort: 8000, HostIp: "../x"}}
	}), malformed},
	{"RunPodSandbox", "cgroup parent leads up", podConfig(func(c *runtime.PodSandboxConfig) { c.Linux.CgroupParent = "../../.." }), malformed},
	{"RunPodSandbox", "DNS with line breaks", podConfig(func(c *runtime.PodSandboxConfig) {
		c.DnsConfig = &runtime.DNSConfig{Servers: []string{"10.0.0.1\noptions x"}}
	}), malformed},
}

var podCalls = concat(
	eachID("StopPodSandbox", ok, gone, func(id string) *runtime.StopPodSandboxRequest {
		return &runtime.StopPodSandboxRequest{PodSandboxId: id}
	}),
	eachID("RemovePodSandbox", ok, gone, func(id string) *runtime.RemovePodSandboxRequest {
		return &runtime.RemovePodSandboxRequest{PodSandboxId: id}
	}),
	eachID("PodSandboxStatus", missing, refused, func(id string) *runtime.PodSandboxStatusRequest {
		return &runtime.PodSandboxStatusRequest{PodSandboxId: id}
	}),
	eachID("UpdatePodSandboxResources", missing, refused, func(id string) *runtime.UpdatePodSandboxResourcesRequest {
		return &runtime.UpdatePodSandboxResourcesRequest{PodSandboxId: id}
	}),
	[]badCall{
		{"StopPodSandbox", "stopped already", func(f *fixture) proto.Message {
			return &runtime.StopPodSandboxRequest{PodSandboxId: f.stopped.ID}
		}, ok},
		{"CheckpointPod", "unknown id", fixed(&runtime.CheckpointPodRequest{}), absent},
		{"RestorePod", "nothing", fixed(&runtime.RestorePodRequest{}), absent},
	},
)

// containerRequest makes a container that something is wrong with.
func containerRequest(change func(f *fixture, r *runtime.CreateContainerRequest)) func(*fixture) proto.Message {
	return func(f *fixture) proto.Message {
		r := &runtime.CreateContainerRequest{PodSandboxId: f.pod.ID, SandboxConfig: f.pod.Config, Config: ContainerConfig("new", Forever)}
		change(f, r)
		return r
	}
}

// containerConfig is containerRequest for its configuration.
func containerConfig(change func(c *runtime.ContainerConfig)) func(*fixture) proto.Message {
	return containerRequest(func(_ *fixture, r *runtime.CreateContainerRequest) { change(r.Config) })
}

// secured is containerConfig for its security context.
func secured(s *runtime.LinuxContainerSecurityContext) func(*fixture) proto.Message {
	return containerConfig(func(c *runtime.ContainerConfig) { c.Linux.SecurityContext = s })
}

// mounted is containerConfig for a mount.
func mounted(m *runtime.Mount) func(*fixture) proto.Message {
	return containerConfig(func(c *runtime.ContainerConfig) { c.Mounts = []*runtime.Mount{m} })
}

var createContainer = concat(
	eachID("CreateContainer", missing, refused, func(id string) *runtime.CreateContainerRequest {
		return &runtime.CreateContainerRequest{PodSandboxId: id, Config: ContainerConfig("new", Forever), SandboxConfig: &runtime.PodSandboxConfig{}}
	}),
	[]badCall{
		{"CreateContainer", "no config", containerRequest(func(_ *fixture, r *runtime.CreateContainerRequest) { r.Config = nil }), malformed},
		{"CreateContainer", "no metadata", containerConfig(func(c *runtime.ContainerConfig) { c.Metadata = nil }), malformed},
		{"CreateContainer", "no name", containerConfig(func(c *runtime.ContainerConfig) { c.Metadata.Name = "" }), malformed},
		{"CreateContainer", "no image", containerConfig(func(c *runtime.ContainerConfig) { c.Image = nil }), malformed},
		{"CreateContainer", "unknown image", containerConfig(func(c *runtime.ContainerConfig) { c.Image.Image = "registry.test/none:1" }), missing},
		{"CreateContainer", "image is a path", containerConfig(func(c *runtime.ContainerConfig) { c.Image.Image = "../../etc" }), refused},
		{"CreateContainer", "name in use", containerConfig(func(c *runtime.ContainerConfig) { c.Metadata.Name = "running" }), taken},
		{"CreateContainer", "name is a path", containerConfig(func(c *runtime.ContainerConfig) { c.Metadata.Name = "../../x" }), harmlessly},
		{"CreateContainer", "pod stopped", containerRequest(func(f *fixture, r *runtime.CreateContainerRequest) {
			r.PodSandboxId, r.SandboxConfig = f.stopped.ID, f.stopped.Config
		}), wrongState},
		{"CreateContainer", "log path leads up", containerConfig(func(c *runtime.ContainerConfig) { c.LogPath = "../../../x.log" }), malformed},
		{"CreateContainer", "log path hides that it leads up", containerConfig(func(c *runtime.ContainerConfig) { c.LogPath = "a/../../x.log" }), malformed},
		{"CreateContainer", "label of 1 MB", containerConfig(func(c *runtime.ContainerConfig) {
			c.Labels = map[string]string{"big": strings.Repeat("x", 1<<20)}
		}), harmlessly},
		{"CreateContainer", "environment without a name", containerConfig(func(c *runtime.ContainerConfig) {
			c.Envs = []*runtime.KeyValue{{Key: "", Value: []byte("x")}}
		}), malformed},
		{"CreateContainer", "command with a zero byte", containerConfig(func(c *runtime.ContainerConfig) { c.Command = []string{"sh\x00x"} }), malformed},
		{"CreateContainer", "working directory is relative", containerConfig(func(c *runtime.ContainerConfig) { c.WorkingDir = "../x" }), malformed},
		{"CreateContainer", "mount without a place", mounted(&runtime.Mount{HostPath: "/tmp"}), malformed},
		{"CreateContainer", "mount without a source", mounted(&runtime.Mount{ContainerPath: "/x"}), malformed},
		{"CreateContainer", "propagation unknown", mounted(&runtime.Mount{HostPath: "/tmp", ContainerPath: "/x", Propagation: 99}), malformed},
		{"CreateContainer", "recursively read-only, but not read-only", mounted(&runtime.Mount{HostPath: "/tmp", ContainerPath: "/x", RecursiveReadOnly: true}), malformed},
		{"CreateContainer", "unknown image as a volume", mounted(&runtime.Mount{ContainerPath: "/x", Readonly: true, Image: &runtime.ImageSpec{Image: "registry.test/none:1"}}), missing},
		{"CreateContainer", "mounts in one place", containerConfig(func(c *runtime.ContainerConfig) {
			m := &runtime.Mount{HostPath: "/tmp", ContainerPath: "/x"}
			c.Mounts = []*runtime.Mount{m, m}
		}), harmlessly},
		{"CreateContainer", "environment repeated", containerConfig(func(c *runtime.ContainerConfig) {
			c.Envs = []*runtime.KeyValue{{Key: "A", Value: []byte("1")}, {Key: "A", Value: []byte("2")}}
		}), harmlessly},
		{"CreateContainer", "groups repeated", secured(&runtime.LinuxContainerSecurityContext{SupplementalGroups: []int64{5, 5, 5}}), harmlessly},
		{"CreateContainer", "device is missing", containerConfig(func(c *runtime.ContainerConfig) {
			c.Devices = []*runtime.Device{{HostPath: "/dev/nonesuch", ContainerPath: "/dev/x", Permissions: "rw"}}
		}), notHere},
		{"CreateContainer", "CDI device unknown", containerConfig(func(c *runtime.ContainerConfig) {
			c.CDIDevices = []*runtime.CDIDevice{{Name: "vendor.com/fish=../.."}}
		}), notHere},
		{"CreateContainer", "group without a user", secured(&runtime.LinuxContainerSecurityContext{RunAsGroup: &runtime.Int64Value{Value: 5}}), malformed},
		{"CreateContainer", "user below zero", secured(&runtime.LinuxContainerSecurityContext{RunAsUser: &runtime.Int64Value{Value: -2}}), malformed},
		{"CreateContainer", "user name unknown", secured(&runtime.LinuxContainerSecurityContext{RunAsUsername: "../nobody"}), refused},
		{"CreateContainer", "capability unknown", secured(&runtime.LinuxContainerSecurityContext{
			Capabilities: &runtime.Capability{AddCapabilities: []string{"FISH"}},
		}), harmlessly},
		{"CreateContainer", "seccomp profile is missing", secured(&runtime.LinuxContainerSecurityContext{
			Seccomp: &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_Localhost, LocalhostRef: "/nonesuch/../x"},
		}), notHere},
		{"CreateContainer", "seccomp profile is none", secured(&runtime.LinuxContainerSecurityContext{
			Seccomp: &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_Localhost, LocalhostRef: "/etc/passwd"},
		}), notHere},
		{"CreateContainer", "pid namespace of an unknown target", secured(&runtime.LinuxContainerSecurityContext{
			NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_TARGET, TargetId: "../1"},
		}), refused},
	},
)

var containerCalls = concat(
	eachID("StartContainer", missing, refused, func(id string) *runtime.StartContainerRequest { return &runtime.StartContainerRequest{ContainerId: id} }),
	eachID("StopContainer", ok, gone, func(id string) *runtime.StopContainerRequest { return &runtime.StopContainerRequest{ContainerId: id} }),
	eachID("RemoveContainer", ok, gone, func(id string) *runtime.RemoveContainerRequest {
		return &runtime.RemoveContainerRequest{ContainerId: id}
	}),
	eachID("ContainerStatus", missing, refused, func(id string) *runtime.ContainerStatusRequest {
		return &runtime.ContainerStatusRequest{ContainerId: id}
	}),
	eachID("ReopenContainerLog", missing, refused, func(id string) *runtime.ReopenContainerLogRequest {
		return &runtime.ReopenContainerLogRequest{ContainerId: id}
	}),
	eachID("UpdateContainerResources", missing, refused, func(id string) *runtime.UpdateContainerResourcesRequest {
		return &runtime.UpdateContainerResourcesRequest{ContainerId: id, Linux: &runtime.LinuxContainerResources{}}
	}),
	eachID("CheckpointContainer", absent, absent, func(id string) *runtime.CheckpointContainerRequest {
		return &runtime.CheckpointContainerRequest{ContainerId: id, Location: "/etc/../x"}
	}),
	[]badCall{
		{"StartContainer", "runs already", func(f *fixture) proto.Message { return &runtime.StartContainerRequest{ContainerId: f.running} }, wrongState},
		{"StartContainer", "has exited", func(f *fixture) proto.Message { return &runtime.StartContainerRequest{ContainerId: f.exited} }, wrongState},
		{"StopContainer", "has exited", func(f *fixture) proto.Message { return &runtime.StopContainerRequest{ContainerId: f.exited} }, ok},
		{"ReopenContainerLog", "not started", func(f *fixture) proto.Message {
			return &runtime.ReopenContainerLogRequest{ContainerId: f.created}
		}, wrongState},
		{"ReopenContainerLog", "has exited", func(f *fixture) proto.Message {
			return &runtime.ReopenContainerLogRequest{ContainerId: f.exited}
		}, wrongState},
		{"UpdateContainerResources", "CPUs unknown", func(f *fixture) proto.Message {
			return &runtime.UpdateContainerResourcesRequest{ContainerId: f.running, Linux: &runtime.LinuxContainerResources{CpusetCpus: "../x"}}
		}, malformed},
	},
)

func execSync(id string) *runtime.ExecSyncRequest {
	return &runtime.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}, Timeout: 5}
}

var execCalls = concat(
	eachID("ExecSync", missing, refused, execSync),
	[]badCall{
		{"ExecSync", "no command", func(f *fixture) proto.Message { return &runtime.ExecSyncRequest{ContainerId: f.running} }, malformed},
		{"ExecSync", "not started", func(f *fixture) proto.Message { return execSync(f.created) }, wrongState},
		{"ExecSync", "has exited", func(f *fixture) proto.Message { return execSync(f.exited) }, wrongState},
		{"ExecSync", "takes too long", func(f *fixture) proto.Message {
			return &runtime.ExecSyncRequest{ContainerId: f.running, Cmd: []string{"sleep", "100"}, Timeout: 1}
		}, untilLeft},
		{"ExecSync", "leaves a child that takes too long", func(f *fixture) proto.Message {
			return &runtime.ExecSyncRequest{ContainerId: f.running, Cmd: []string{"sh", "-c", "setsid sleep 100 & sleep 100"}, Timeout: 1}
		}, untilLeft},
	},
)

func execOf(id string) *runtime.ExecRequest {
	return &runtime.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true}
}

func attachTo(id string) *runtime.AttachRequest {
	return &runtime.AttachRequest{ContainerId: id, Stdout: true}
}

func portForward(id string) *runtime.PortForwardRequest {
	return &runtime.PortForwardRequest{PodSandboxId: id, Port: []int32{80}}
}

var streamCalls = concat(
	eachID("Exec", missing, refused, execOf), eachID("Attach", missing, refused, attachTo), eachID("PortForward", missing, refused, portForward),
	[]badCall{
		{"Exec", "no streams", func(f *fixture) proto.Message {
			return &runtime.ExecRequest{ContainerId: f.running, Cmd: []string{"true"}}
		}, malformed},
		{"Exec", "terminal with stderr", func(f *fixture) proto.Message {
			return &runtime.ExecRequest{ContainerId: f.running, Cmd: []string{"true"}, Stdout: true, Stderr: true, Tty: true}
		}, malformed},
		{"Exec", "not started", func(f *fixture) proto.Message { return execOf(f.created) }, wrongState},
		{"Attach", "no streams", func(f *fixture) proto.Message { return &runtime.AttachRequest{ContainerId: f.running} }, malformed},
		{"Attach", "has exited", func(f *fixture) proto.Message { return attachTo(f.exited) }, wrongState},
		{"PortForward", "pod stopped", func(f *fixture) proto.Message { return portForward(f.stopped.ID) }, wrongState},
	},
)

var statsCalls = concat(
	eachID("ContainerStats", missing, refused, func(id string) *runtime.ContainerStatsRequest { return &runtime.ContainerStatsRequest{ContainerId: id} }),
	eachID("PodSandboxStats", missing, refused, func(id string) *runtime.PodSandboxStatsRequest {
		return &runtime.PodSandboxStatsRequest{PodSandboxId: id}
	}),
	[]badCall{
		{"ListContainerStats", "filter", fixed(&runtime.ListContainerStatsRequest{Filter: &runtime.ContainerStatsFilter{Id: "..", PodSandboxId: "/"}}), ok},
		{"StreamContainerStats", "filter", fixed(&runtime.StreamContainerStatsRequest{Filter: &runtime.ContainerStatsFilter{Id: ".."}}), ok},
		{"ListPodSandboxStats", "filter", fixed(&runtime.ListPodSandboxStatsRequest{Filter: &runtime.PodSandboxStatsFilter{Id: "../.."}}), ok},
		{"StreamPodSandboxStats", "filter", fixed(&runtime.StreamPodSandboxStatsRequest{Filter: &runtime.PodSandboxStatsFilter{Id: "/"}}), ok},
	},
)

func named(image string) *runtime.ImageSpec { return &runtime.ImageSpec{Image: image} }

func pull(image string) proto.Message { return &runtime.PullImageRequest{Image: named(image)} }

var imageCalls = []badCall{
	{"ListImages", "filter", fixed(&runtime.ListImagesRequest{Filter: &runtime.ImageFilter{Image: named("../..")}}), harmlessly},
	{"StreamImages", "filter", fixed(&runtime.StreamImagesRequest{Filter: &runtime.ImageFilter{Image: named("../..")}}), harmlessly},
	{"ImageStatus", "no image", fixed(&runtime.ImageStatusRequest{}), harmlessly},
	{"ImageStatus", "unknown", fixed(&runtime.ImageStatusRequest{Image: named("registry.test/none:1")}), ok},
	{"ImageStatus", "path", fixed(&runtime.ImageStatusRequest{Image: named("../../etc/passwd")}), harmlessly},
	{"ImageStatus", "digest of nothing", fixed(&runtime.ImageStatusRequest{Image: named("sha256:" + unknown)}), ok},
	{"PullImage", "no image", fixed(&runtime.PullImageRequest{}), malformed},
	{"PullImage", "no reference", fixed(pull("!!")), malformed},
	{"PullImage", "path", fixed(pull("../../etc")), malformed},
	{"PullImage", "unknown", fixed(pull("registry.test/none:1")), missing},
	{"PullImage", "digest of something else", fixed(pull("registry.test/payload@sha256:" + unknown)), missing},
	{"PullImage", "nobody serves it", fixed(pull("127.0.0.1:1/x:1")), []codes.Code{codes.Unavailable, codes.Unknown, codes.Internal}},
	{"PullImage", "wrong password", fixed(&runtime.PullImageRequest{
		Image: named(Private), Auth: &runtime.AuthConfig{Username: privateUser, Password: "wrong"},
	}), []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.Unknown}},
	{"PullImage", "password is no base64", fixed(&runtime.PullImageRequest{Image: named(Private), Auth: &runtime.AuthConfig{Auth: "%%%"}}), malformed},
	{"RemoveImage", "no image", fixed(&runtime.RemoveImageRequest{}), harmlessly},
	{"RemoveImage", "unknown", fixed(&runtime.RemoveImageRequest{Image: named("registry.test/none:1")}), ok},
	{"RemoveImage", "path", fixed(&runtime.RemoveImageRequest{Image: named("../../etc")}), harmlessly},
}
