// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"bytes"
	"os/exec"
	"testing"
)

// Run runs a program and returns its standard output. The test fails when the program does.
func Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, &stdout, &stderr)
	}
	return stdout.String()
}
