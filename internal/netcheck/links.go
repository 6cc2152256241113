// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/netif"
)

// vethName is how the bridge plugin names the host's end.
var vethName = regexp.MustCompile(`^veth[0-9a-f]{8}$`)

// links are the ports of the networks' bridges that a plugin made.
func links(_ context.Context, n *networks) (found []Finding, err error) {
	host, err := netif.Host()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	bridges := map[int]string{}
	for name := range n.bridges {
		if bridge, err := host.LinkByName(name); err == nil {
			bridges[bridge.Attrs().Index] = name
		}
	}
	if len(bridges) == 0 {
		return nil, nil
	}
	all, err := host.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range all {
		a := l.Attrs()
		if bridge, ours := bridges[a.MasterIndex]; ours && madeByPlugin(l) {
			f := Finding{Kind: "interface", Name: a.Name, Detail: fmt.Sprintf("a port of %s, index %d", bridge, a.Index)}
			f.remove = func(context.Context) error { return removeLink(a.Index, a.MasterIndex, a.Name) }
			found = append(found, f)
		}
	}
	return found, nil
}

// madeByPlugin leaves out what the kernel is about to delete: with many pods that takes it seconds.
func madeByPlugin(l netlink.Link) bool {
	return l.Type() == "veth" && vethName.MatchString(l.Attrs().Name) && !netif.Ending(l)
}

// removeLink deletes an interface, if it is still the same.
func removeLink(index, master int, name string) error {
	host, err := netif.Host()
	if err != nil {
		return err
	}
	defer host.Close()
	l, err := host.LinkByIndex(index)
	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.Attrs().Name != name || l.Attrs().MasterIndex != master {
		return errors.New("it is somebody else's by now")
	}
	return host.LinkDel(l)
}
