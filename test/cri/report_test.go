// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"slices"
	"testing"
	"time"
)

func TestParseReport(t *testing.T) {
	const report = `[{"SuiteDescription": "CRI validation", "SpecReports": [
		{"LeafNodeType": "BeforeSuite", "State": "passed"},
		{"ContainerHierarchyTexts": ["[k8s.io] Pod", "when it runs"], "LeafNodeType": "It", "LeafNodeText": "runs", "State": "passed", "RunTime": 2000000000},
		{"ContainerHierarchyTexts": ["[k8s.io] AppArmor"], "LeafNodeType": "It", "LeafNodeText": "fits", "State": "skipped", "Failure": {"Message": "disabled"}},
		{"LeafNodeType": "AfterSuite", "State": "failed", "Failure": {"Message": "left something"}, "CapturedGinkgoWriterOutput": "said"}
	]}]`
	got, err := parseReport([]byte(report))
	want := []spec{
		{name: "[k8s.io] Pod / when it runs / runs", state: "passed", took: 2 * time.Second},
		{name: "[k8s.io] AppArmor / fits", state: "skipped", message: "disabled"},
		{state: "failed", message: "left something", output: "said"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, broken := range []string{"", "{}", `[{"SpecReports": 5}]`} {
		if got, err := parseReport([]byte(broken)); err == nil {
			t.Errorf("%q: %v, want an error", broken, got)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`[{"SpecReports": [{"LeafNodeType": "It", "State": "passed"}]}]`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseReport(data) })
}

func TestSkipsAreExact(t *testing.T) {
	if appArmor() {
		t.Skip("nothing is listed where there is AppArmor")
	}
	if reasonToSkip(spec{name: "[k8s.io] AppArmor / x"}) == "" || reasonToSkip(spec{name: "[k8s.io] Container / x"}) != "" {
		t.Error("the list of skips allows the wrong ones")
	}
}
