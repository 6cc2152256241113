// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Here is the namespace of the tests, which testnode.OwnNetwork has made.
func Here(t testing.TB) *netif.Namespace {
	t.Helper()
	testnode.NeedRoot(t)
	ns, err := netif.Host()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Close)
	return ns
}

// settled waits until no interface is on its way up, for the kernel sends nothing over those.
const settled = `settled() { for i in $(seq 500); do
	[ -n "$("$@" -o link show up | grep -v LOOPBACK | grep -v "state UP")$("$@" -o -6 addr show tentative)" ] || return 0; sleep 0.01
done; echo interfaces that do not come up >&2; return 1; }
`

// Connected makes a network namespace that a pair of interfaces connects with the tests' own, where it is called name. Addresses are PREFIX.2 inside
// and PREFIX.1 here, and of IPv6 fd00:N::2 and fd00:N::1.
func Connected(t testing.TB, name, prefix string, n int) *netif.Namespace {
	t.Helper()
	ns := NewNamespace(t)
	testnode.Run(t, "sh", "-ec", fmt.Sprintf(settled+`
		echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
		nsenter --net=%[4]s sh -c "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"
		ip link add %[1]s type veth peer name eth0 netns %[4]s
		ip addr add %[2]s.1/24 dev %[1]s
		ip -6 addr add fd00:%[3]d::1/64 dev %[1]s nodad
		ip link set %[1]s up
		nsenter --net=%[4]s sh -ec "ip addr add %[2]s.2/24 dev eth0
			ip -6 addr add fd00:%[3]d::2/64 dev eth0 nodad
			ip link set eth0 up
			ip route add default via %[2]s.1
			ip -6 route add default via fd00:%[3]d::1"
		settled ip
		settled nsenter --net=%[4]s ip`, name, prefix, n, ns.Path()))
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() }) // the kernel would get to it later
	return ns
}
