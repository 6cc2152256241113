// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// attempts bounds how often a transaction is made anew because somebody else was quicker.
const attempts = 100

// Tables is nftables of one network namespace: that of the thread which called New. Its methods may be called
// concurrently; transactions are made one after another, as the kernel does them.
type Tables struct {
	lock chan struct{} // holds one token; guards what is below

	request    *socket
	monitor    *socket // gets every change of the rule set, in order
	index      index
	generation uint32 // of the rule set that index is right for
	listening  bool
	closed     bool
}

// New opens nftables. ErrUnsupported does not come from here but from what is called later, so that a daemon starts
// without nf_tables.
func New() (*Tables, error) {
	t := &Tables{lock: make(chan struct{}, 1)}
	var err error
	if t.request, err = open(); err == nil {
		if t.monitor, err = open(); err != nil {
			t.request.close()
		}
	}
	if err != nil {
		if unsupported(err) {
			return None(), nil
		}
		return nil, fmt.Errorf("netfilter socket: %w: %w", err, errdefs.ErrInternal)
	}
	// Where it is not allowed, large collections of garbage fail and nothing else does.
	_ = kernel.NetlinkSendBuffer(t.request.fd, sendBuffer)
	return t, nil
}

// None stands for a kernel without nf_tables.
func None() *Tables { return &Tables{lock: make(chan struct{}, 1)} }

// Close closes the sockets.
func (t *Tables) Close() error {
	t.lock <- struct{}{}
	defer func() { <-t.lock }()
	if t.closed || t.request == nil {
		return nil
	}
	t.closed = true
	return errors.Join(t.request.close(), t.monitor.close())
}

func (t *Tables) acquire(ctx context.Context) error {
	select {
	case t.lock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case t.closed:
		<-t.lock
		return fmt.Errorf("nftables is closed: %w", errdefs.ErrUnavailable)
	case t.request == nil:
		<-t.lock
		return ErrUnsupported
	}
	return nil
}

// Available is nil when the kernel has nf_tables, and ErrUnsupported when it has not.
func (t *Tables) Available(ctx context.Context) error {
	if err := t.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-t.lock }()
	if t.listening {
		return nil
	}
	_, err := t.askGeneration()
	return err
}

// Do makes one transaction out of what f puts into tx, and commits it: all or nothing. f may be called again, when
// somebody else has changed the rule set meanwhile, so it does nothing else. Without anything in tx nothing is asked of the kernel.
func (t *Tables) Do(ctx context.Context, f func(tx *Tx) error) error {
	if err := t.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-t.lock }()
	reread := false
	for i := range attempts {
		if err := errors.Join(ctx.Err(), t.synchronize(i)); err != nil {
			return err
		}
		tx := &Tx{tables: t, fixed: map[*chain]string{}}
		if err := f(tx); err != nil || tx.err != nil {
			return errors.Join(err, tx.err)
		}
		err := tx.commit()
		switch {
		case err == nil:
			return nil
		case moved(err):
		case reread || errors.Is(err, errNoAnswer) || errors.Is(err, errMissed):
			t.index = nil
			return fmt.Errorf("nftables: %w", err)
		default: // the index may be wrong
			t.index, reread = nil, true
		}
	}
	return fmt.Errorf("nftables: the rule set changes all the time: %w", errdefs.ErrUnavailable)
}

// synchronize brings the index up to date with all that was ever committed.
// What is heard is trusted, but not for ever.
func (t *Tables) synchronize(attempt int) error {
	if t.index == nil {
		t.index = index{}
	}
	switch {
	case !t.listening:
		return t.listen()
	case attempt%10 == 9:
		return t.restart()
	}
	return t.hearAll()
}

func (t *Tables) hear(m *syscall.NetlinkMessage) {
	o, ok := decode(m)
	switch {
	case !ok:
	case o.kind == unix.NFT_MSG_NEWGEN:
		t.generation = o.genID
	default:
		t.index.apply(o, o.port == t.request.port)
	}
}

// listen is called the first time: from now on the kernel tells of changes.
func (t *Tables) listen() (err error) {
	if err := kernel.JoinNetlink(t.monitor.fd, unix.NFNLGRP_NFTABLES); err != nil {
		return fmt.Errorf("listening to nftables: %w", err)
	}
	if t.generation, err = t.askGeneration(); err != nil {
		return err
	}
	t.listening = true
	return t.hearAll()
}

func (t *Tables) hearAll() error {
	err := t.monitor.receive(t.hear)
	if errors.Is(err, errMissed) {
		return t.restart()
	}
	return err
}

// restart forgets everything, since more was changed at once than a socket holds.
func (t *Tables) restart() error {
	t.index = index{}
	for range attempts {
		err := t.monitor.receive(func(*syscall.NetlinkMessage) {})
		if err == nil {
			t.generation, err = t.askGeneration()
			return err
		}
		if !errors.Is(err, errMissed) {
			return err
		}
	}
	return errMissed
}

// askGeneration asks for the generation, which is told as the answer to a request, and to a listener after a change.
func (t *Tables) askGeneration() (generation uint32, err error) {
	m, err := message(unix.NFT_MSG_GETGEN, 0, 0)
	if err != nil {
		return 0, err
	}
	var refused error
	err = t.request.request([]netlink.Message{m}, func(m *syscall.NetlinkMessage) {
		if o, ok := decode(m); ok && o.kind == unix.NFT_MSG_NEWGEN {
			generation = o.genID
		}
	}, func(_ int, err error) { refused = err })
	switch {
	case refused != nil && unsupported(refused):
		return 0, fmt.Errorf("%w: %w", refused, ErrUnsupported)
	case refused != nil:
		return 0, fmt.Errorf("nftables: %w", refused)
	case err != nil:
		return 0, fmt.Errorf("nftables: %w", err)
	case generation == 0:
		return 0, errNoAnswer
	}
	return generation, nil
}
