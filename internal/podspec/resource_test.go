// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestUpdateResources(t *testing.T) {
	tr := newTranslator(t, testNode())
	limits := &runtime.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 100, MemoryLimitInBytes: 1000, CpusetCpus: "0",
		HugepageLimits: []*runtime.HugepageLimit{{PageSize: "2MB", Limit: 1}, {PageSize: "1GB", Limit: 2}}, Unified: map[string]string{"a.b": "1"},
	}
	c := testContainer()
	c.Config.Linux.Resources = limits
	current := translate(t, testNode(), c).Spec.Linux.Resources
	before := deepCopy(current)
	got, err := tr.UpdateResources(current, &runtime.LinuxContainerResources{
		CpuQuota: 70000, MemoryLimitInBytes: 5000, OomScoreAdj: 3,
		HugepageLimits: []*runtime.HugepageLimit{{PageSize: "2MB", Limit: 9}}, Unified: map[string]string{"c.d": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(current, before) {
		t.Error("the current limits were changed")
	}
	status := StatusResources(&specs.Spec{Linux: &specs.Linux{Resources: got}}).GetLinux()
	want := &runtime.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 70000, CpuShares: 100, MemoryLimitInBytes: 5000, MemorySwapLimitInBytes: 5000, CpusetCpus: "0",
		HugepageLimits: []*runtime.HugepageLimit{{PageSize: "2MB", Limit: 9}, {PageSize: "1GB", Limit: 2}}, Unified: map[string]string{"a.b": "1", "c.d": "2"},
	}
	if !reflect.DeepEqual(status, want) {
		t.Errorf("got  %v\nwant %v", status, want)
	}
	if !reflect.DeepEqual(got.Devices, before.Devices) {
		t.Error("the device rules are lost")
	}
	_, err = tr.UpdateResources(got, &runtime.LinuxContainerResources{MemorySwapLimitInBytes: 10})
	refused(t, err, "memory_swap_limit_in_bytes")
	_, err = tr.UpdateResources(got, &runtime.LinuxContainerResources{CpuShares: -1})
	refused(t, err, "linux.cpu_shares")
	for _, none := range []*runtime.LinuxContainerResources{nil, {}} {
		if same, err := tr.UpdateResources(current, none); err != nil || !reflect.DeepEqual(same, before) {
			t.Errorf("nothing was asked for: %+v, %v", same, err)
		}
	}
	if first, err := tr.UpdateResources(nil, limits); err != nil || *first.Memory.Limit != 1000 {
		t.Errorf("%+v, %v", first, err)
	}
}

func TestUnlimited(t *testing.T) {
	tr := newTranslator(t, testNode())
	got, err := tr.UpdateResources(nil, &runtime.LinuxContainerResources{CpuQuota: -1, MemoryLimitInBytes: -1})
	if err != nil || *got.CPU.Quota != -1 || *got.Memory.Limit != -1 || *got.Memory.Swap != -1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMissingController(t *testing.T) {
	n := testNode()
	n.Hugetlb, n.TolerateMissingHugetlb = false, false
	_, err := newTranslator(t, n).UpdateResources(nil, &runtime.LinuxContainerResources{HugepageLimits: []*runtime.HugepageLimit{{PageSize: "2MB"}}})
	if !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}

func TestStatusResources(t *testing.T) {
	if got := StatusResources(&specs.Spec{}); got.GetLinux() == nil {
		t.Error("the status needs a value")
	}
	score := -5
	if got := StatusResources(&specs.Spec{Process: &specs.Process{OOMScoreAdj: &score}}); got.GetLinux().GetOomScoreAdj() != -5 {
		t.Error(got)
	}
}

func TestCheckList(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, "0": true, "0-3": true, "0,2-4,7": true, "5-5": true,
		",": false, "a": false, "1-": false, "-1": false, "3-1": false, "0-3:1/2": false, "99999": false, " 1": false, "+1": false, "1,": false,
	} {
		if err := checkList("f", s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
