// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/sardine-run/sardine/internal/kernel"
)

// ownNetworkVariable tells a test binary that it runs in the namespaces made for it.
const ownNetworkVariable = "SARDINE_TEST_OWN_NETWORK"

// OwnNetwork runs a package's tests in a network namespace that stands for the host's, so that bridges and packet
// filter rules are nobody else's, and a mount namespace. "lo" is up. It is the whole of TestMain, and does not return. Without root the tests run where
// they are, and skip.
func OwnNetwork(m *testing.M) {
	if os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	if InOwnNetwork() {
		if err := likeHost(); err != nil {
			fmt.Fprintln(os.Stderr, "network namespace for the tests:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), ownNetworkVariable+"=1")
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

// likeHost brings "lo" up, and has package net find out that there is IPv6: it looks once in a process, by listening on ::1, and the first
// namespace that a test listens in may not have it.
func likeHost() error {
	if err := kernel.SetLinkUp("lo"); err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return err
	}
	return l.Close()
}

// InOwnNetwork reports whether the interfaces here are the tests' own.
func InOwnNetwork() bool { return os.Getenv(ownNetworkVariable) != "" }
