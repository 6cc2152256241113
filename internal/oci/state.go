// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// State is the container's state as hooks get it: runtime.md, "State". pid is the one
// the host sees, 0 when there is no process.
func State(spec *specs.Spec, id, bundle string, status specs.ContainerState, pid int) specs.State {
	return specs.State{
		Version:     specs.Version,
		ID:          id,
		Status:      status,
		Pid:         pid,
		Bundle:      bundle,
		Annotations: spec.Annotations,
	}
}

// encodeState cannot fail: a State holds strings and numbers only.
func encodeState(s specs.State) []byte {
	b, _ := json.Marshal(s)
	return b
}
