// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Namespace is an open network namespace. Its methods, and the Handle's, may be called concurrently.
type Namespace struct {
	*netlink.Handle                          // rtnetlink inside
	sockets         map[int]*nl.SocketHandle // rtnetlink inside, for what the Handle has no words for
	file            *os.File                 // nil for the daemon's own
	path            string
}

// Host returns the daemon's own namespace.
func Host() (*Namespace, error) {
	n := &Namespace{path: "/proc/self/ns/net"}
	if err := n.openSockets(); err != nil {
		return nil, fmt.Errorf("netlink socket: %w: %w", err, errdefs.ErrInternal)
	}
	return n, nil
}

// Open opens the namespace at path. ErrNotFound when nothing is there, ErrInvalidArgument when it is no
// network namespace.
func Open(path string) (*Namespace, error) {
	n, err := OpenLater(path)
	if err != nil {
		return nil, err
	}
	if err = n.Do(func() error { return nil }); err != nil {
		n.file.Close()
		return nil, err
	}
	return n, nil
}

// OpenLater opens the namespace and leaves it to the first Do to make the sockets, so that one thread does both. Before, only
// FD, Path, Do and Close may be called.
func OpenLater(path string) (*Namespace, error) {
	file, err := kernel.Open(path, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("network namespace: %w: %w", err, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return &Namespace{file: file, path: path}, nil
}

// Close closes the socket and the descriptor.
func (n *Namespace) Close() {
	if n.Handle != nil {
		n.Handle.Close()
	}
	for _, s := range n.sockets {
		s.Close()
	}
	if n.file != nil {
		n.file.Close()
	}
}

// FD is the namespace's descriptor, for IFLA_NET_NS_FD. It stays the Namespace's. -1 for the daemon's own.
func (n *Namespace) FD() int {
	if n.file == nil {
		return -1
	}
	return int(n.file.Fd())
}

// Path is by what it was opened.
func (n *Namespace) Path() string { return n.path }

// Do calls f on a thread inside, which is thrown away afterwards: 0.1 ms. Several things are better done in one f.
func (n *Namespace) Do(f func() error) (err error) {
	if n.file == nil {
		return f()
	}
	kernel.OnThread(func() {
		if err = kernel.Setns(int(n.file.Fd()), unix.CLONE_NEWNET, n.path); errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
		if err == nil && n.Handle == nil {
			err = n.openSockets()
		}
		if err == nil {
			err = f()
		}
	})
	return err
}
