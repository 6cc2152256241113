// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/kernel"
)

// sendPatience bounds the wait for a keeper whose queue of messages is full. It is full with ten messages where nobody has set
// net.unix.max_dgram_qlen, and a busy node gives a process no processor for seconds.
const sendPatience = 10 * time.Second

// keeper is who keeps descriptors: the receiver of the messages of sd_notify(3).
type keeper struct {
	kind string
	max  int // descriptors
	// connect returns a socket to it. A keeper that must be started first is.
	connect func() (int, error)

	socket int  // -1: not connected
	life   int  // a holder's sign that the daemon lives, closed with it; -1: it has none
	stuck  bool // it did not take a message in time, and none since
}

func newKeeper(kind string, connect func() (int, error)) *keeper {
	return &keeper{kind: kind, connect: connect, socket: -1, life: -1}
}

// errLost says that the keeper is not the one that it was: what was kept is gone.
var errLost = errors.New("the keeper of descriptors has ended")

// send sends a message. It waits for a keeper that does not take it, but not again before that has
// taken one.
func (k *keeper) send(m holder.Message, fds ...int) error {
	if k.socket < 0 {
		var err error
		if k.socket, err = k.connect(); err != nil {
			return err
		}
		if err := kernel.SetSendTimeout(k.socket, sendPatience); err != nil {
			return err
		}
	}
	flags := 0
	if k.stuck {
		flags = unix.MSG_DONTWAIT
	}
	err := kernel.SendRights(k.socket, m.Encode(), fds, flags)
	k.stuck = errors.Is(err, unix.EAGAIN)
	switch {
	case k.stuck:
		return fmt.Errorf("%s takes no descriptors, nor any message, for %v: %w", k.kind, sendPatience, errdefs.ErrUnavailable)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		k.close()
		return errLost
	}
	return err
}

func (k *keeper) close() {
	for _, fd := range []*int{&k.socket, &k.life} {
		if *fd >= 0 {
			kernel.Close(*fd)
		}
		*fd = -1
	}
}
