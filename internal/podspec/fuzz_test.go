// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// FuzzTranslate: whatever a client sends, there is an error with a class or a spec that the
// next layer takes or refuses, and the request is not changed.
func FuzzTranslate(f *testing.F) {
	for _, c := range []*Container{testContainer(), kubeletContainer(), gpuContainer("vendor.com/gpu=0")} {
		f.Add(marshal(f, c.Pod.Config), marshal(f, c.Config), []byte(`{"User":"app:video","Env":["A=b"],"Volumes":{"/v":{}}}`), passwd, group)
	}
	privileged := kubeletContainer()
	privileged.Pod.Config.Linux.SecurityContext.Privileged, privileged.Config.Linux.SecurityContext.Privileged = true, true
	f.Add(marshal(f, privileged.Pod.Config), marshal(f, privileged.Config), []byte(`{"StopSignal":"9"}`), oddPasswd, oddGroup)
	node := testNode()
	node.Host = Host{Resolve: func(path string) (string, error) { return path, nil }}
	node.EnableUnprivilegedICMP, node.EnableUnprivilegedPorts = true, true
	tr := newTranslator(f, node)
	f.Fuzz(func(t *testing.T, podBytes, containerBytes, imageBytes []byte, passwd, group string) {
		pod, cfg, image := &runtime.PodSandboxConfig{}, &runtime.ContainerConfig{}, &ocispec.Image{}
		if proto.Unmarshal(podBytes, pod) != nil || proto.Unmarshal(containerBytes, cfg) != nil || json.Unmarshal(imageBytes, &image.Config) != nil {
			return
		}
		before := proto.Clone(cfg)
		fuzzPod(t, tr, pod)
		c := &Container{
			ID: "c", Pod: &Pod{ID: "p", Config: pod, Hosts: "/etc/hosts", SHM: "/dev/shm"}, Config: cfg, Image: image,
			ReadFile: files(map[string]string{"/etc/passwd": passwd, "/etc/group": group}),
			Volumes:  map[string]string{"/v": "/tmp"}, CgroupsPath: tr.CgroupsPath(pod.GetLinux().GetCgroupParent(), "c"),
			TargetPID: "/proc/self/ns/pid",
		}
		c.Pod.UIDMappings, c.Pod.GIDMappings = IDMappings(pod)
		fuzzContainer(t, tr, c)
		if !proto.Equal(before, cfg) {
			t.Error("the request was changed")
		}
	})
}

func marshal(f *testing.F, m proto.Message) []byte {
	f.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func fuzzPod(t *testing.T, tr *Translator, pod *runtime.PodSandboxConfig) {
	checkClass(t, tr.CheckPod(pod))
	sysctls, err := tr.Sysctls(pod)
	checkClass(t, err)
	for file := range sysctls {
		if file == "" || file[0] == '/' {
			t.Errorf("sysctl file %q", file)
		}
	}
	if _, _, err := tr.PodLabels(pod); err != nil {
		t.Error(err)
	}
}

func checkClass(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errdefs.IsInvalidArgument(err) && !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotImplemented(err) {
		t.Fatalf("%v has no class", err)
	}
	if err != nil && len(err.Error()) > 10000 {
		t.Fatalf("an error of %d bytes", len(err.Error()))
	}
}

func fuzzContainer(t *testing.T, tr *Translator, c *Container) {
	r, err := tr.Translate(c)
	checkClass(t, err)
	if err != nil {
		return
	}
	if len(r.Spec.Process.Args) == 0 || r.User.GetLinux() == nil || r.StopSignal == "" {
		t.Fatalf("incomplete: %+v", r)
	}
	if _, err := tr.UpdateResources(r.Spec.Linux.Resources, c.Config.GetLinux().GetResources()); err != nil {
		checkClass(t, err)
	}
	StatusResources(r.Spec)
	req, _, err := oci.Translate(r.Spec, ociOptions())
	if err != nil {
		if !errors.Is(err, errdefs.ErrInvalidArgument) && !errors.Is(err, errdefs.ErrNotFound) && !errors.Is(err, errdefs.ErrNotImplemented) && !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Fatalf("package oci: %v has no class", err)
		}
		return
	}
	if _, err := plan.Decode(plan.Encode(req.Plan)); err != nil {
		t.Fatal(err)
	}
}

func ociOptions() oci.Options {
	return oci.Options{
		ID: "c", Bundle: "/run", Rootfs: []rootfs.Mount{{Type: "bind", Source: "/", Options: []string{"rbind"}}},
		Cgroup: oci.Cgroup{Unified: true, Path: "/sys/fs/cgroup/c"}, Seccomp: noSeccomp{},
	}
}

// noSeccomp compiles nothing: filters are package seccomp's, and its fuzz target's.
type noSeccomp struct{}

func (noSeccomp) Compile(*specs.LinuxSeccomp) (*plan.Seccomp, error) { return nil, nil }
