// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// ErrUnsupported means that the kernel has no nf_tables.
var ErrUnsupported = fmt.Errorf("the kernel has no nf_tables: %w", errdefs.ErrNotImplemented)

var (
	errNoAnswer = errors.New("no answer from the kernel")
	errMissed   = errors.New("changes of the rule set were missed")
)

// moved tells the errors of a transaction that say nothing against it: somebody else was quicker, or the kernel busy.
func moved(err error) bool {
	return errors.Is(err, unix.ERESTART) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN)
}

// unsupported tells what a kernel without nf_tables says: no netfilter sockets, or nobody behind them.
func unsupported(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}
