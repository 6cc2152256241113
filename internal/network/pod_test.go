// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// namespace is a pod's, held by a descriptor only, as the daemon holds it.
type namespace struct {
	file *os.File
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	var ns namespace
	var err error
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network namespace"); err == nil {
			ns.file, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.close)
	return &ns
}

func (ns *namespace) close() { ns.file.Close() }

// path is how plugins find it.
func (ns *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

// enter calls f on a thread inside.
func (ns *namespace) enter(t testing.TB, f func() error) {
	t.Helper()
	var err error
	kernel.OnThread(func() {
		if err = kernel.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET, "pod"); err == nil {
			err = f()
		}
	})
	runtime.KeepAlive(ns)
	if err != nil {
		t.Fatal(err)
	}
}
