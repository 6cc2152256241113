// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// commit starts a program and returns when the kernel has announced all rules that are missing, or the program has ended without.
// The end is not waited for otherwise: a program that has spoken to nf_tables takes 10 to 20 ms for it when rules were deleted
// just before. A transaction is announced when it is done, as a whole.
func (f *filter) commit(ctx context.Context, start func() (wait func() error, err error)) error {
	if err := f.hear(func(*syscall.NetlinkMessage) {}, func() {}); err != nil { // of the time before
		return err
	}
	wait, err := start()
	if err != nil {
		return err
	}
	waiting, ended := context.WithCancel(ctx)
	exited := make(chan error, 1)
	f.running.Add(1)
	go func() {
		defer f.running.Done()
		defer ended()
		exited <- wait()
	}()
	if err := f.announced(waiting); err == nil {
		return nil
	}
	err = <-exited
	if err = errors.Join(err, f.hear(f.note, f.forget)); err == nil && len(f.missing) > 0 {
		return errUnseen
	}
	return err
}

// errUnseen means that a program has ended well and not all was announced that it should have made.
var errUnseen = errors.New("rules that iptables has made are not found again: set in_process = false, and report its version")

// announced is nil when nothing is missing any more.
func (f *filter) announced(ctx context.Context) error {
	fd, err := kernel.DupFD(f.monitor.fd)
	if err != nil {
		return err
	}
	if err := kernel.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "netfilter socket")
	defer file.Close()
	return kernel.Await(ctx, file, func(int) (bool, error) {
		err := f.hear(f.note, f.forget)
		return len(f.missing) == 0, err
	})
}

// note remembers the handle of a rule that appears.
func (f *filter) note(m *syscall.NetlinkMessage) {
	if t, ok := f.decode(m); ok {
		f.remember(t)
	}
}

// hear calls told for what the monitor was told, and lost when some of that was lost.
func (f *filter) hear(told func(m *syscall.NetlinkMessage), lost func()) error {
	for range attempts {
		err := f.monitor.receive(told)
		if !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		lost()
	}
	return fmt.Errorf("listening to nftables: %w", unix.ENOBUFS)
}
