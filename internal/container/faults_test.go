// SPDX-License-Identifier: Apache-2.0

//go:build faults

package container

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/fault"
)

// TestEachFault fails each step of a create and finds the node as before.
func TestEachFault(t *testing.T) {
	for _, name := range fault.CreateNames() {
		t.Run(string(name), func(t *testing.T) {
			n := newNode(t)
			spec := n.spec("true")
			spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}}
			r := n.request("one", spec)
			r.Stdio.Terminal = true
			t.Setenv("SARDINE_FAULTS", string(name)+"=injected")
			_, err := n.Create(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), "fault "+string(name)+": injected") {
				t.Errorf("error %v", err)
			}
			n.wantNothing()
			t.Setenv("SARDINE_FAULTS", "")
			n.delete(n.create("one", "true")) // the id is free, nothing is in the way
		})
	}
}
