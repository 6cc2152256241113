// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/netif"
)

// doomed is the link group of devices that are to be deleted. It is the mark that outlives the daemon, and by it the kernel
// deletes many devices for the price of one.
const doomed = 0x73617264

// reaper makes and deletes ifb devices.
type reaper struct {
	host *netif.Namespace

	mu      sync.Mutex
	pending bool          // something was marked since the last deletion began
	done    chan struct{} // closed when the goroutine that deletes has ended; nil when there is none
	closed  bool
}

// remove has a device deleted soon; nil when there is none.
func (r *reaper) remove(ctx context.Context, name string) error {
	link, err := r.host.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if link.Type() != "ifb" {
		return fmt.Errorf("%s %w", name, errForeign)
	}
	if err := r.host.LinkSetGroup(link, doomed); err != nil {
		return netif.Gone(err)
	}
	r.wake()
	return nil
}

// add makes a device. One of the same name that is being deleted is waited for.
func (r *reaper) add(ctx context.Context, name string, mtu int) error {
	for attempt := 0; ; attempt++ {
		err := r.host.LinkAdd(newDevice(name, mtu))
		if !errors.Is(err, fs.ErrExist) || attempt == attempts {
			return err
		}
		old, lookErr := r.host.LinkByName(name)
		if errors.As(lookErr, &netlink.LinkNotFoundError{}) {
			continue // deleted just now
		}
		if lookErr != nil || old.Attrs().Group != doomed {
			return err
		}
		if err := r.await(ctx); err != nil {
			return err
		}
	}
}

// wake sees to it that a deletion begins after now.
func (r *reaper) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = true
	switch {
	case r.closed && r.done == nil:
		r.pending = false
		_ = r.sweep() // the next daemon repeats what failed
	case r.done == nil:
		r.done = make(chan struct{})
		go r.run(r.done)
	}
}

// await returns when what was doomed is deleted.
func (r *reaper) await(ctx context.Context) error {
	r.wake()
	r.mu.Lock()
	done := r.done
	r.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run deletes until nothing is pending, and ends.
func (r *reaper) run(done chan struct{}) {
	defer close(done)
	for failures := 0; ; {
		r.mu.Lock()
		if !r.pending {
			r.done = nil
			r.mu.Unlock()
			return
		}
		r.pending = false
		r.mu.Unlock()
		if err := r.sweep(); err != nil && failures < tries {
			failures++
			r.mu.Lock()
			r.pending = true
			r.mu.Unlock()
			time.Sleep(pause) // the next DEL, or daemon, tries again
		}
	}
}

// pause between attempts to delete that fail.
const pause = 10 * time.Millisecond

// tries to delete before the next DEL.
const tries = 3

// attempts to make a device whose namesake is being deleted.
const attempts = 100

// sweep deletes all devices of the group: RTM_DELLINK with IFLA_GROUP, rtnetlink(7).
func (r *reaper) sweep() error {
	return r.host.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(doomed)))
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return netif.Gone(err)
	})
}

func (r *reaper) close() error {
	r.mu.Lock()
	r.closed = true
	done := r.done
	r.mu.Unlock()
	if done != nil {
		<-done
	}
	return nil
}
