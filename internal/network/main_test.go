// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// insideVariable tells the test binary that it runs in the namespaces made for it.
const insideVariable = "SARDINE_TEST_NETWORK_INSIDE"

// TestMain runs the tests in a network namespace that stands for the host's, so that bridges
// and packet filter rules are nobody else's.
func TestMain(m *testing.M) {
	if os.Getuid() != 0 || os.Getenv(insideVariable) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "network namespace for the tests:", err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}
