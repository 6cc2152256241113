// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// pod is a network namespace with the loopback interface up.
type pod struct {
	id    string
	port  int // of the node, mapped to its port 80
	space *os.File
}

func newPod(n int) (*pod, error) {
	p := &pod{id: fmt.Sprintf("%032x%032x", os.Getpid(), n), port: port + n%10000}
	var err error
	kernel.OnThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return
		}
		if err = kernel.SetLinkUp("lo"); err == nil {
			p.space, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return p, nil
}

// path is one that other processes can open.
func (p *pod) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.space.Fd()) }
