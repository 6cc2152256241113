// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCgroupsPath(t *testing.T) {
	for _, test := range []struct {
		systemd      bool
		parent, want string // want "" is refused
	}{
		{false, "", "/k8s.io/id"},
		{false, "/kubepods/besteffort/pod1", "/kubepods/besteffort/pod1/id"},
		{false, "/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice/id"},
		{false, "relative", "/relative/id"},
		{false, "/a/../b", ""},
		{false, "/a\nb", ""},
		{true, "", ":cri-containerd:id"},
		{true, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice", "kubepods-besteffort-pod1_2.slice:cri-containerd:id"},
		{true, "system.slice", "system.slice:cri-containerd:id"},
		{true, "-.slice", "-.slice:cri-containerd:id"},
		{true, "/kubepods/pod1", ""},
		{true, "/a--b.slice", ""},
		{true, "/a:b.slice", ""},
		{true, ".slice", ""},
	} {
		n := testNode()
		n.SystemdCgroup = test.systemd
		tr := newTranslator(t, n)
		err := tr.CheckPod(pod(func(c *runtime.PodSandboxConfig) { c.Linux.CgroupParent = test.parent }))
		if test.want == "" {
			refused(t, err, "linux.cgroup_parent")
			continue
		}
		if got := tr.CgroupsPath(test.parent, "id"); err != nil || got != test.want {
			t.Errorf("%q: got %q, %v, want %q", test.parent, got, err, test.want)
		}
	}
}
