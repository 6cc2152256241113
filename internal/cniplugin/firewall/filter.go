// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/netif"
)

// family is one of the two that iptables has programs for.
type family struct {
	number  byte   // of netfilter
	ordinal int    // as the reference plugin's messages call it
	program string // the start of the programs' names
}

var (
	ipv4     = &family{number: unix.NFPROTO_IPV4, ordinal: 0, program: "iptables"}
	ipv6     = &family{number: unix.NFPROTO_IPV6, ordinal: 1, program: "ip6tables"}
	families = []*family{ipv4, ipv6}
)

// filter is the table filter of one family. What it remembers of handles is checked before it is relied on.
type filter struct {
	*family
	host *netif.Namespace
	lock chan struct{} // holds one token; guards what is below running

	running sync.WaitGroup // programs that have done their work and not ended yet

	socket  *socket
	monitor *socket               // is told every change of the rule set
	missing map[rule]bool         // what commit waits for
	shared  map[rule]uint64       // rules that belong to no pod
	pods    map[netip.Addr][]told // rules of addresses, in the private chain
	read    bool                  // pods has all that were there once
}

func newFilter(f *family, host *netif.Namespace) *filter {
	return &filter{family: f, host: host, lock: make(chan struct{}, 1)}
}

// enter locks, and opens the sockets.
func (f *filter) enter(ctx context.Context) (leave func(), err error) {
	select {
	case f.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave = func() { <-f.lock }
	if f.socket == nil {
		if err := f.open(); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

// open makes sockets that stay: closing one waits, 10 to 20 ms, until the kernel has freed what was deleted before.
func (f *filter) open() error {
	socket, err := dial(f.host)
	if err != nil {
		return err
	}
	monitor, err := dial(f.host)
	if err != nil {
		return errors.Join(err, socket.close())
	}
	if err := kernel.JoinNetlink(monitor.fd, unix.NFNLGRP_NFTABLES); err != nil {
		return errors.Join(fmt.Errorf("listening to nftables: %w", err), socket.close(), monitor.close())
	}
	f.socket, f.monitor = socket, monitor
	return nil
}

func (f *filter) close() error {
	f.lock <- struct{}{}
	defer func() { <-f.lock }()
	f.running.Wait()
	if f.socket == nil {
		return nil
	}
	err := errors.Join(f.socket.close(), f.monitor.close())
	f.socket, f.monitor = nil, nil
	return err
}

// attempts bounds how often something is begun anew because the rule set has changed meanwhile.
const attempts = 20

// ensure makes what is not there of a plan, by start, which gives lines to iptables-restore(8) and returns what waits for its end.
func (f *filter) ensure(ctx context.Context, p plan, start func(ctx context.Context, text string) (wait func() error, err error)) error {
	leave, err := f.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var failed error
	for range 3 {
		chains, rules, err := f.present(p)
		if err != nil {
			return err
		}
		text := p.without(chains, rules)
		if text == "" {
			return nil
		}
		f.missing = map[rule]bool{}
		for _, r := range p.rules() {
			if !rules[r.rule] {
				f.missing[r.rule] = true
			}
		}
		failed = f.commit(ctx, func() (func() error, error) { return start(ctx, text) })
		if failed == nil || ctx.Err() != nil {
			return failed
		}
		f.forget() // somebody else may have made a chain meanwhile
		if errors.Is(failed, errUnseen) {
			if chains, rules, err = f.present(p); err == nil && p.without(chains, rules) != "" {
				err = failed // once more, and there would be two of each
			}
			return err
		}
	}
	return failed
}

func (f *filter) forget() { f.shared, f.pods, f.read = nil, nil, false }

// decode reads a rule of this table.
func (f *filter) decode(m *syscall.NetlinkMessage) (told, bool) {
	t, ok := decodeRule(m)
	return t, ok && !t.alien && t.family == f.number && t.table == "filter"
}

func (f *filter) remember(t told) {
	delete(f.missing, t.rule)
	switch {
	case t.chain == private && t.from.IsValid() != t.to.IsValid() && t.target == "ACCEPT":
		if f.pods == nil {
			f.pods = map[netip.Addr][]told{}
		}
		f.pods[t.address()] = append(f.pods[t.address()], t)
	case !t.from.IsValid() && !t.to.IsValid() && strings.HasPrefix(t.comment, "CNI firewall plugin"):
		if f.shared == nil {
			f.shared = map[rule]uint64{}
		}
		f.shared[t.rule] = t.handle
	}
}

// address is whose the rule is.
func (r rule) address() netip.Addr {
	if r.from.IsValid() {
		return r.from
	}
	return r.to
}

// list reads a chain.
func (f *filter) list(chain string) error {
	for range attempts {
		var found []told
		err := f.socket.ask(func(m *syscall.NetlinkMessage) {
			if t, ok := f.decode(m); ok && t.chain == chain {
				found = append(found, t)
			}
		}, listRules(f.number, chain))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("rules of chain %s: %w", chain, err)
		}
		for r := range f.shared {
			if r.chain == chain {
				delete(f.shared, r)
			}
		}
		if chain == private {
			f.pods, f.read = nil, true
		}
		for _, t := range found {
			f.remember(t)
		}
		return nil
	}
	return fmt.Errorf("rules of chain %s change all the time", chain)
}

// present tells what is there of a plan. Chains are read only when something in them is not where it was.
func (f *filter) present(p plan) (chains map[string]bool, rules map[rule]bool, err error) {
	listed := map[string]bool{}
	for {
		chains, rules, err = f.look(p)
		if err != nil {
			return nil, nil, err
		}
		var chain string
		for _, r := range p.rules() {
			missing := !rules[r.rule] && (!r.address().IsValid() || !f.read)
			if missing && !listed[r.chain] {
				chain = r.chain
			}
		}
		if chain == "" {
			return chains, rules, nil
		}
		listed[chain] = true
		if err := f.list(chain); err != nil {
			return nil, nil, err
		}
	}
}

// look asks for what a plan has, by the handles that are remembered.
func (f *filter) look(p plan) (chains map[string]bool, rules map[rule]bool, err error) {
	var messages []netlink.Message
	for _, c := range p.chains() {
		messages = append(messages, getChain(f.number, c))
	}
	for _, r := range p.rules() {
		if handle, ok := f.shared[r.rule]; ok {
			messages = append(messages, getRule(f.number, r.chain, handle))
		}
		for _, t := range f.pods[r.address()] {
			if t.rule == r.rule {
				messages = append(messages, getRule(f.number, r.chain, t.handle))
			}
		}
	}
	chains, rules = map[string]bool{}, map[rule]bool{}
	err = f.socket.ask(func(m *syscall.NetlinkMessage) {
		if name := decodeChain(m); name != "" {
			chains[name] = true
		}
		if t, ok := f.decode(m); ok {
			rules[t.rule] = true
		}
	}, messages...)
	if err != nil {
		return nil, nil, fmt.Errorf("table filter: %w", err)
	}
	return chains, rules, nil
}

// check is nil when all of a plan is there.
func (f *filter) check(ctx context.Context, p plan) error {
	leave, err := f.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	chains, rules, err := f.present(p)
	if err != nil {
		return err
	}
	for _, c := range p.chains() {
		if !chains[c] {
			return fmt.Errorf("expected chain %s not found", c)
		}
	}
	for _, r := range p.rules() {
		if !rules[r.rule] {
			return fmt.Errorf("expected rule %s not found", r.line())
		}
	}
	return nil
}
