// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Place is a network and an IPC namespace, with the loopback interface up, in
// which daemons and commands can run without touching the node's network. It
// ends with the test.
type Place struct {
	namespaces []*os.File
}

// NewPlace makes a place. It skips the test without root.
func NewPlace(t testing.TB) *Place {
	t.Helper()
	testnode.NeedRoot(t)
	p := &Place{}
	if err := onThread(p.make); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, ns := range p.namespaces {
			ns.Close()
		}
	})
	return p
}

// onThread is kernel.OnThread with an error.
func onThread(f func() error) (err error) {
	kernel.OnThread(func() { err = f() })
	return err
}

func (p *Place) make() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWIPC); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	for _, kind := range []string{"net", "ipc"} {
		ns, err := os.Open("/proc/thread-self/ns/" + kind)
		if err != nil {
			return err
		}
		p.namespaces = append(p.namespaces, ns)
	}
	return kernel.SetLinkUp("lo")
}

// enter moves the calling thread.
func (p *Place) enter() error {
	for _, ns := range p.namespaces {
		if err := unix.Setns(int(ns.Fd()), 0); err != nil {
			return fmt.Errorf("enter %s: %w", ns.Name(), err)
		}
	}
	return nil
}

// Do runs f on a thread in the place. What it opens or starts is there, what it
// leaves to other goroutines is not.
func (p *Place) Do(f func() error) error {
	return onThread(func() error {
		if err := p.enter(); err != nil {
			return err
		}
		return f()
	})
}

// Listen is net.Listen in the place.
func (p *Place) Listen(network, address string) (listener net.Listener, err error) {
	err = p.Do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// Dial connects from the place. The address is a number: names are resolved on
// other threads.
func (p *Place) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = p.Do(func() (err error) {
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// HTTP returns a client in the place.
func (p *Place) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}}
}

// Start starts a command in the place, which gets SIGKILL should the test
// process die.
func (p *Place) Start(cmd *exec.Cmd) (wait func() error, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, exited := make(chan error), make(chan struct{})
	go own(cmd, p, started, exited)
	if err := <-started; err != nil {
		return nil, err
	}
	return func() error {
		<-exited
		if !cmd.ProcessState.Success() {
			return &exec.ExitError{ProcessState: cmd.ProcessState}
		}
		return nil
	}, nil
}

// Run runs a command in the place to its end.
func (p *Place) Run(cmd *exec.Cmd) error {
	wait, err := p.Start(cmd)
	if err != nil {
		return err
	}
	return wait()
}

// own starts a command, in a place if there is one, and waits for it on a
// thread of its own: the kernel sends the parent death signal when the starting
// thread ends, not the process.
func own(cmd *exec.Cmd, place *Place, started chan<- error, exited chan<- struct{}) {
	defer close(exited)
	kernel.OnThread(func() {
		err := startIn(place, cmd)
		started <- err
		if err == nil {
			_ = cmd.Wait() // the state says more, and tests kill it anyway
		}
	})
}

// startIn starts a command from the calling thread, moved to the place.
func startIn(place *Place, cmd *exec.Cmd) error {
	if place != nil {
		if err := place.enter(); err != nil {
			return err
		}
	}
	return cmd.Start()
}
