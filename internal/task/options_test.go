// SPDX-License-Identifier: Apache-2.0

package task

import (
	"testing"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/proto"

	"github.com/sardine-run/sardine/internal/cgroup"
)

func marshal(t *testing.T, m proto.Message) typeurl.Any {
	t.Helper()
	a, err := typeurl.MarshalAny(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOptions(t *testing.T) {
	r := &Runtime{defaults: Options{NoPivotRoot: true}}
	systemd := marshal(t, &runc.Options{SystemdCgroup: true, BinaryName: "ignored", Root: "/ignored"})
	keyring := marshal(t, &runc.Options{NoNewKeyring: true})
	for name, test := range map[string]struct {
		task, container typeurl.Any
		want            Options
	}{
		"none":           {nil, nil, Options{NoPivotRoot: true}},
		"empty":          {marshal(t, &runc.Options{}), nil, Options{NoPivotRoot: true}},
		"of the runtime": {nil, systemd, Options{SystemdCgroup: true}},
		"of the task":    {keyring, systemd, Options{NoNewKeyring: true}},
	} {
		got, err := r.options(&runtime.CreateOpts{TaskOptions: test.task, RuntimeOptions: test.container})
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
	if (Options{}).driver() != cgroup.Cgroupfs || (Options{SystemdCgroup: true}).driver() != cgroup.Systemd {
		t.Error("wrong cgroup driver")
	}
}

func TestOptionsOfAnotherType(t *testing.T) {
	other := marshal(t, &runtimeoptions.Options{TypeUrl: "x"})
	if _, err := (&Runtime{}).options(&runtime.CreateOpts{TaskOptions: other}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}
