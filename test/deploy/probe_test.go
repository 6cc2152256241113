// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/probe"
)

// TestProbeCommands: the daemon takes every command that the admission policy, the examples and the README have
// containers probed by. test/policy collects them.
func TestProbeCommands(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(read(t, "../policy/testdata/commands.json")), "\n")
	if len(lines) < 20 {
		t.Errorf("only %d commands", len(lines))
	}
	for _, line := range lines {
		var command []string
		if err := json.Unmarshal([]byte(line), &command); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if command[0] != probe.Name {
			t.Errorf("%s is not %s", line, probe.Name)
		}
		if _, err := probe.Parse(command[1:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
