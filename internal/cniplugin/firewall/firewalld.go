// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

const (
	firewalldName = "org.fedoraproject.FirewallD1"
	firewalldPath = "/org/fedoraproject/FirewallD1"
	zoneInterface = firewalldName + ".zone."
)

// bus is the connection to the system's D-Bus, kept from call to call.
type bus struct {
	mu   sync.Mutex
	conn *dbus.Conn
	end  context.CancelFunc // of conn
}

// connect returns the connection, a new one when the old one was lost.
func (b *bus) connect(ctx context.Context) (*dbus.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.conn, nil
	}
	// The connection outlives ctx, but nobody waits longer than ctx for it.
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(lifetime))
	stop()
	if err != nil {
		end()
		return nil, fmt.Errorf("D-Bus: %w", err)
	}
	if b.end != nil {
		b.end()
	}
	b.conn, b.end = conn, end
	return conn, nil
}

func (b *bus) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return nil
	}
	defer b.end()
	err := b.conn.Close()
	b.conn = nil
	return err
}

// running reports whether somebody has firewalld's name. Without D-Bus nobody has.
func (b *bus) running(ctx context.Context) bool {
	conn, err := b.connect(ctx)
	if err != nil {
		return false
	}
	var owner string
	return conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, firewalldName).Store(&owner) == nil
}

// call asks firewalld something about a zone and one address.
func (b *bus) call(ctx context.Context, method, zone string, a netip.Addr, answer any) error {
	conn, err := b.connect(ctx)
	if err != nil {
		return err
	}
	return conn.Object(firewalldName, firewalldPath).CallWithContext(ctx, zoneInterface+method, 0, zone, prefix(a)).Store(answer)
}

// add makes addresses sources of a zone, all or none. One that is already there is fine.
func (b *bus) add(ctx context.Context, zone string, addresses []netip.Addr) error {
	for i, a := range addresses {
		var answer string
		err := b.call(ctx, "addSource", zone, a, &answer)
		if err != nil && !strings.Contains(err.Error(), "ZONE_ALREADY_SET") {
			err = fmt.Errorf("failed to add the address %v to %v zone: %w", prefix(a), zone, err)
			return errorsOf(err, b.remove(context.WithoutCancel(ctx), zone, addresses[:i]))
		}
	}
	return nil
}

func errorsOf(err, undo error) error {
	if undo == nil {
		return err
	}
	return fmt.Errorf("%w (and not all of it was undone: %w)", err, undo)
}

// remove is nil also for addresses that are in no zone: firewalld is asked, and what it says does not matter, as to the
// reference plugin.
func (b *bus) remove(ctx context.Context, zone string, addresses []netip.Addr) error {
	if _, err := b.connect(ctx); err != nil {
		return err
	}
	for _, a := range addresses {
		var answer string
		_ = b.call(ctx, "removeSource", zone, a, &answer)
	}
	return ctx.Err()
}

// check is stricter than the reference plugin, which does not look at the answer.
func (b *bus) check(ctx context.Context, zone string, addresses []netip.Addr) error {
	for _, a := range addresses {
		var there bool
		if err := b.call(ctx, "querySource", zone, a, &there); err != nil {
			return fmt.Errorf("failed to find the address %v in %v zone: %w", prefix(a), zone, err)
		}
		if !there {
			return fmt.Errorf("failed to find the address %v in %v zone", prefix(a), zone)
		}
	}
	return nil
}
