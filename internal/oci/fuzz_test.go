// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/plan"
)

// FuzzTranslate: whatever the spec, there is an error or a Request that holds together,
// and the spec is not changed.
func FuzzTranslate(f *testing.F) {
	for _, name := range []string{"containerd-default.json", "kubernetes.json"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"ociVersion":"1.3.0","process":{"args":["a"],"cwd":"/"},"linux":{"namespaces":[{"type":"mount"},{"type":"user"}],"uidMappings":[{"size":1}],"gidMappings":[{"size":1}],"devices":[{"path":"/dev/x","type":"b"}]},"mounts":[{"destination":"x","type":"bind","source":"/","options":["rbind","ridmap","rro","a=b"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var spec, same specs.Spec
		if json.Unmarshal(b, &spec) != nil {
			return
		}
		_ = json.Unmarshal(b, &same)
		opts := testOptions()
		opts.Seccomp = new(compiler)
		checkRequest(t, &spec, opts)
		if spec.Process != nil {
			_, _, _ = Exec(&spec, spec.Process, os.Getpid(), nil, opts)
		}
		if !reflect.DeepEqual(spec, same) {
			t.Error("the spec was changed")
		}
	})
}

func checkRequest(t *testing.T, spec *specs.Spec, opts Options) {
	req, _, err := Translate(spec, opts)
	if err != nil {
		return
	}
	if len(req.Plan.Process.Args) == 0 || req.Plan.Root == nil || req.Plan.JoinMount != plan.NoFD {
		t.Fatalf("incomplete: %+v", req.Plan)
	}
	for _, b := range req.Binds {
		if m := req.Plan.Mounts[b.Mount]; m.FSType != "" {
			t.Errorf("%s is a bind mount and a new %s", m.Destination, m.FSType)
		}
	}
	for i := range req.DeviceNodes {
		_ = req.Plan.Devices[i]
	}
	decoded, err := plan.Decode(plan.Encode(req.Plan))
	if err != nil {
		t.Fatal(err)
	}
	if decoded.Process.Cwd != req.Plan.Process.Cwd || len(decoded.Mounts) != len(req.Plan.Mounts) {
		t.Error("the plan does not survive its encoding")
	}
}

func BenchmarkTranslate(b *testing.B) {
	spec, opts := readSpec(b, "kubernetes.json"), testOptions()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Translate(spec, opts); err != nil {
			b.Fatal(err)
		}
	}
}
