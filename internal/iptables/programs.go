// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/coreos/go-iptables/iptables"

	"github.com/sardine-run/sardine/internal/nft"
)

// Program is one iptables program: of a family, and of nftables or legacy.
type Program = iptables.IPTables

// lockSeconds is how long a program waits for the lock of iptables-legacy.
const lockSeconds = 10

// Programs are those of this node. Each is asked for its version once.
type Programs struct {
	nft   *nft.Tables
	mu    sync.Mutex
	known map[string]*Program // by command
}

// New returns the programs in PATH.
func New(t *nft.Tables) *Programs {
	return &Programs{nft: t, known: map[string]*Program{}}
}

// Default returns what "iptables" or "ip6tables" is here, which is what the reference plugins run.
func (p *Programs) Default(ctx context.Context, ipv6 bool) (*Program, error) {
	return p.open(ctx, command(ipv6), ipv6)
}

func command(ipv6 bool) string {
	if ipv6 {
		return "ip6tables"
	}
	return "iptables"
}

func (p *Programs) open(ctx context.Context, name string, ipv6 bool) (*Program, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.known[name]; have != nil {
		return have, nil
	}
	family := iptables.ProtocolIPv4
	if ipv6 {
		family = iptables.ProtocolIPv6
	}
	opened, err := iptables.New(iptables.IPFamily(family), iptables.Timeout(lockSeconds), iptables.Path(name))
	if err == nil {
		p.known[name] = opened
	}
	return opened, err
}

// WithChain returns the programs, at most two, that may have one of these chains in a table. Usually there is none, and then none was started.
// all is whether legacy tables, where they exist, count: telling takes a program.
func (p *Programs) WithChain(ctx context.Context, ipv6 bool, table string, all bool, chains ...string) ([]*Program, error) {
	family := nft.IPv4
	if ipv6 {
		family = nft.IPv6
	}
	has, err := p.nft.HasChains(ctx, nft.ID{Family: family, Name: table}, chains...)
	if err != nil {
		return nil, err
	}
	var found []*Program
	if slices.Contains(has, true) {
		program, err := p.flavor(ctx, "-nft", ipv6)
		if err != nil {
			return nil, fmt.Errorf("iptables has rules of this attachment: %w", err)
		}
		found = append(found, program)
	}
	if !all || !hasLegacy(ipv6, table) {
		return found, nil
	}
	program, err := p.flavor(ctx, "-legacy", ipv6)
	if errors.Is(err, exec.ErrNotFound) {
		return found, nil // it is others' table then
	}
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		if exists, err := program.ChainExists(table, chain); err == nil && exists {
			return append(found, program), nil
		}
	}
	return found, nil
}

// flavor prefers iptables-nft or -legacy over what iptables happens to be.
func (p *Programs) flavor(ctx context.Context, flavor string, ipv6 bool) (*Program, error) {
	program, err := p.open(ctx, command(ipv6)+flavor, ipv6)
	if errors.Is(err, exec.ErrNotFound) {
		return p.open(ctx, command(ipv6), ipv6)
	}
	return program, err
}

// hasLegacy tells whether iptables-legacy has such a table in the daemon's network namespace.
func hasLegacy(ipv6 bool, table string) bool {
	path := "/proc/net/ip_tables_names"
	if ipv6 {
		path = "/proc/net/ip6_tables_names"
	}
	names, err := os.ReadFile(path)
	return err == nil && slices.Contains(strings.Fields(string(names)), table)
}
