// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// NeedIPTables returns the path of one of iptables' programs, iptables-nft or iptables-legacy or the like. The test is skipped where the kernel has no
// tables of the legacy kind; a program that does not work for any other reason fails it.
func NeedIPTables(t testing.TB, program string) (path string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Unavailable(t, fmt.Sprintf("install iptables: %v", err))
	}
	out, err := exec.Command(path, "-t", "nat", "-S").CombinedOutput()
	switch {
	case err == nil:
	case strings.HasSuffix(program, "-legacy") && strings.Contains(string(out), "do you need to insmod?"):
		t.Skipf("a kernel without legacy tables: %s", out)
	default:
		t.Fatalf("%s: %v: %s", program, err, out)
	}
	return path
}
