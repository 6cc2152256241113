// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// load reads a table into the index, once. Changes that are told meanwhile are applied afterwards, and a transaction that is
// made before they are is refused.
func (t *Tables) load(id ID) (*table, error) {
	if have := t.index[id]; have != nil {
		return have, nil
	}
	for range attempts {
		read, err := t.read(id)
		if err == nil {
			t.index[id] = read
			return read, nil
		}
		if !moved(err) {
			return nil, fmt.Errorf("reading table %s: %w", id.Name, err)
		}
	}
	return nil, fmt.Errorf("reading table %s: the rule set changes all the time", id.Name)
}

func (t *Tables) read(id ID) (*table, error) {
	read := newTable()
	err := t.list(unix.NFT_MSG_GETTABLE, 0, id, func(object) { read.exists = true })
	if errors.Is(err, unix.ENOENT) {
		return read, nil
	}
	if err != nil {
		return nil, err
	}
	// The kernel gives all chains of a family. Rules it selects by table.
	err = t.list(unix.NFT_MSG_GETCHAIN, netlink.Dump, id, func(o object) {
		read.chains[o.chain] = newChain(o.hook)
	})
	if err != nil {
		return nil, err
	}
	err = t.list(unix.NFT_MSG_GETRULE, netlink.Dump, id, func(o object) {
		if c := read.chains[o.chain]; c != nil {
			c.add(o.handle, o.comment)
		}
	})
	return read, err
}

// list asks for what a table has. EINTR when it was changed meanwhile.
func (t *Tables) list(kind uint16, flags netlink.HeaderFlags, id ID, f func(object)) error {
	m, err := message(kind, flags, id.Family, text(attributeTable, id.Name))
	if err != nil {
		return err
	}
	var refused error
	err = t.request.request([]netlink.Message{m}, func(m *syscall.NetlinkMessage) {
		if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
			refused = unix.EINTR
		}
		if o, ok := decode(m); ok && o.table == id {
			f(o)
		}
	}, func(_ int, err error) {
		if refused == nil {
			refused = err
		}
	})
	return errors.Join(err, refused)
}

// HasChains tells which of some chains a table has, without the index: for tables that are others'. All false where the kernel has no
// nf_tables.
func (t *Tables) HasChains(ctx context.Context, id ID, chains ...string) ([]bool, error) {
	has := make([]bool, len(chains))
	if err := t.acquire(ctx); err != nil {
		if errors.Is(err, ErrUnsupported) {
			err = nil
		}
		return has, err
	}
	defer func() { <-t.lock }()
	messages := make([]netlink.Message, len(chains))
	for i, chain := range chains {
		if err := checkName(chain); err != nil {
			return nil, err
		}
		var err error
		messages[i], err = message(unix.NFT_MSG_GETCHAIN, 0, id.Family, text(attributeTable, id.Name), text(chainName, chain))
		if err != nil {
			return nil, err
		}
	}
	var refused error
	err := t.request.request(messages, func(m *syscall.NetlinkMessage) {
		if o, ok := decode(m); ok && o.table == id {
			for i, chain := range chains {
				has[i] = has[i] || o.chain == chain
			}
		}
	}, func(_ int, err error) {
		if err != nil && !errors.Is(err, unix.ENOENT) && !unsupported(err) {
			refused = err
		}
	})
	return has, errors.Join(err, refused)
}
