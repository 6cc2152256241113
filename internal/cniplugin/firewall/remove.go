// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// remove deletes all rules of addresses in the private chain. The chain is read when one of the two that each address
// should have is not known: there may be some that somebody else has made.
func (f *filter) remove(ctx context.Context, addresses []netip.Addr) error {
	leave, err := f.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	listed := false
	for range attempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		generation, handles, complete, err := f.find(addresses)
		if err != nil {
			return err
		}
		if !complete && !listed {
			listed = true
			if err := f.list(private); err != nil {
				return err
			}
			continue
		}
		err = f.deleteAll(handles, generation)
		if errors.Is(err, unix.ERESTART) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete rules: %w", err)
		}
		for _, a := range addresses {
			delete(f.pods, a)
		}
		return nil
	}
	return errors.New("delete rules: the rule set changes all the time")
}

func (f *filter) deleteAll(handles []uint64, generation uint32) error {
	if len(handles) == 0 {
		return nil
	}
	batch, err := deleteRules(f.number, private, handles, generation)
	if err != nil {
		return err
	}
	return f.socket.request(batch, func(*syscall.NetlinkMessage) {})
}

// find returns the handles that are remembered of addresses' rules and are right in this generation.
func (f *filter) find(addresses []netip.Addr) (generation uint32, handles []uint64, complete bool, err error) {
	messages := []netlink.Message{getGeneration()}
	for _, a := range addresses {
		for _, t := range f.pods[a] {
			messages = append(messages, getRule(f.number, private, t.handle))
		}
	}
	found := map[rule]bool{}
	err = f.socket.ask(func(m *syscall.NetlinkMessage) {
		if m.Header.Type == subsystem|unix.NFT_MSG_NEWGEN && len(m.Data) >= headerLength {
			generation = uint32Of(m.Data[headerLength:], unix.NFTA_GEN_ID)
		}
		if t, ok := f.decode(m); ok && slices.Contains(addresses, t.address()) {
			handles = append(handles, t.handle)
			found[t.rule] = true
		}
	}, messages...)
	return generation, handles, len(found) == 2*len(addresses), err
}
