// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"io/fs"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// allCaps stands for what a daemon may do.
var allCaps = []string{"CAP_CHOWN", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"}

// testNode is a node of cgroup v2 with everything but security modules.
func testNode() *Node {
	return &Node{
		Unified: true, Hugetlb: true, Swap: true, RecursiveReadOnly: true,
		BoundingCaps: allCaps, OOMScoreAdj: -999, TolerateMissingHugetlb: true,
		CgroupMountOptions: []string{"rw", "nsdelegate", "memory_recursiveprot"},
		Host: Host{
			Hostname: func() (string, error) { return "node", nil },
			Resolve:  func(path string) (string, error) { return path, nil },
		},
	}
}

// testContainer is the least a client sends.
func testContainer() *Container {
	return &Container{
		ID: "c1",
		Pod: &Pod{
			ID: "p1",
			Config: &runtime.PodSandboxConfig{
				Metadata: &runtime.PodSandboxMetadata{Name: "pod", Namespace: "default", Uid: "u1"},
				Hostname: "pod-host",
				Linux:    &runtime.LinuxPodSandboxConfig{SecurityContext: &runtime.LinuxSandboxSecurityContext{NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER}}},
			},
			Namespaces: map[specs.LinuxNamespaceType]string{
				specs.NetworkNamespace: "/ns/net", specs.IPCNamespace: "/ns/ipc", specs.UTSNamespace: "/ns/uts",
			},
			Hosts: "pod:hosts", Hostname: "pod:hostname", ResolvConf: "pod:resolv", SHM: "pod:shm",
		},
		Config: &runtime.ContainerConfig{
			Metadata: &runtime.ContainerMetadata{Name: "main"},
			Image:    &runtime.ImageSpec{Image: "sha256:1", UserSpecifiedImage: "busybox"},
			Linux: &runtime.LinuxContainerConfig{SecurityContext: &runtime.LinuxContainerSecurityContext{
				NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER},
			}},
		},
		Image:    &ocispec.Image{Config: ocispec.ImageConfig{Cmd: []string{"/bin/true"}}},
		ReadFile: files(nil),
	}
}

// files is an image with these.
func files(content map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		s, ok := content[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(s), nil
	}
}

func newTranslator(t testing.TB, n *Node) *Translator {
	t.Helper()
	tr, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func translate(t testing.TB, n *Node, c *Container) *Result {
	t.Helper()
	r, err := newTranslator(t, n).Translate(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
