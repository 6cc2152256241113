// SPDX-License-Identifier: Apache-2.0

package differential

import "slices"

// rows are all that are compared. A row without a version is of 1.0.0.
func rows() []row {
	all := slices.Concat(chainRows(), versionRows(), bridgeRows(), bridgeErrorRows(), vlanRows(), pointToPointRows(), macvlanRows(),
		addressRows(), addressErrorRows(), portRows(), portErrorRows(), firewallRows(), bandwidthRows(), tuningRows(), spoiltRows())
	for i := range all {
		if all[i].Version == "" {
			all[i].Version = "1.0.0"
		}
	}
	return all
}

const (
	hostLocal = `"ipam":{"type":"host-local","subnet":"10.1.0.0/16","routes":[{"dst":"0.0.0.0/0"}]}`
	dualStack = `"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd01::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}`
	gateway   = `{"type":"bridge","bridge":"br0","isGateway":true,` + dualStack + `}`
)

var webPort = ports(`{"hostPort":8080,"containerPort":80,"protocol":"tcp"}`)

// chainRows are what nodes have.
func chainRows() []row {
	nft := row{Name: "chain of nftables", Runtime: webPort, Plugins: `
		{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables","hairpinMode":true,` + dualStack + `},
		{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true},"snat":true}`}
	tables := row{Name: "chain of iptables", Runtime: webPort, Plugins: `
		{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"ipMasqBackend":"iptables","hairpinMode":true,` + dualStack + `},
		{"type":"portmap","backend":"iptables","capabilities":{"portMappings":true},"snat":true},{"type":"firewall","backend":"iptables"}`}
	// Without a name of a backend the daemon takes nftables, and the reference's programs iptables where it is installed.
	unnamed := row{Name: "no backend named", Runtime: webPort, Plugins: `
		{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,` + dualStack + `},
		{"type":"portmap","capabilities":{"portMappings":true}}`}
	named := unnamed
	named.Alone = true
	named.Reference = `{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables",` + dualStack + `},
		{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true}}`
	moved := unnamed
	moved.Name, moved.Takeover = "no backend named, pods of the reference's", true
	everything := row{Name: "every plugin", Version: "1.1.0", Runtime: webPort, Plugins: `
		{"type":"bridge","bridge":"cni0","isDefaultGateway":true,"ipMasq":true,"ipMasqBackend":"nftables","macspoofchk":true,
		 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd01::/64"}]]}},
		{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true}},
		{"type":"firewall","backend":"iptables","ingressPolicy":"same-bridge"},
		{"type":"bandwidth","ingressRate":8000000,"ingressBurst":80000,"egressRate":16000000,"egressBurst":160000},
		{"type":"tuning","sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1"},"mtu":1400}`}
	return slices.Concat(nft.in(versions...), tables.in("0.4.0", "1.1.0"), []row{named, moved, everything})
}

// versionRows are of what else exists in which version.
func versionRows() []row {
	loopback := row{Name: "loopback", Plugins: `{"type":"loopback"}`}
	old := row{Name: "firewall before its first version", Alone: true, Plugins: gateway + `,{"type":"firewall"}`}
	unknown := row{Name: "unknown version", Alone: true, Plugins: gateway}
	return slices.Concat(loopback.in(versions...), old.in("0.3.1"), unknown.in("0.1.0", "1.2.0"))
}

func bridgeRows() []row {
	bridge := func(name, options string, more ...string) row {
		r := row{Name: "bridge " + name, Plugins: `{"type":"bridge","bridge":"br0"` + options + `}`}
		if len(more) > 0 {
			r.Prepare = more[0]
		}
		return r
	}
	const existing = "ip link add br0 type bridge\nip link set br0 up\n"
	mac := bridge("mac of arguments", `,`+hostLocal)
	mac.Args = map[string][][2]string{"alpha": {{"IgnoreUnknown", "1"}, {"MAC", "02:00:00:00:00:07"}}}
	able := bridge("mac of a capability", `,"capabilities":{"mac":true},`+hostLocal)
	able.Runtime = runtimeOf("alpha", `{"mac":"02:00:00:00:00:08"}`)
	return []row{
		bridge("without addresses", ""),
		bridge("with addresses, no gateway", `,`+hostLocal),
		bridge("isGateway", `,"isGateway":true,`+hostLocal),
		bridge("isDefaultGateway", `,"isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd01::/64"}]]}`),
		bridge("forceAddress", `,"isGateway":true,"forceAddress":true,`+dualStack, existing+"ip addr add 10.1.5.1/16 dev br0\nip addr add fd01::5/64 dev br0 nodad\n"),
		bridge("of IPv6 alone", `,"isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables","ipam":{"type":"host-local","subnet":"fd01::/64","routes":[{"dst":"::/0"}]}`),
		bridge("ipMasq by nftables", `,"isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables",`+dualStack),
		bridge("ipMasq by iptables", `,"isGateway":true,"ipMasq":true,"ipMasqBackend":"iptables",`+dualStack),
		bridge("mtu", `,"mtu":1400,`+hostLocal),
		bridge("mtu, an older bridge", `,"mtu":1400,"isGateway":true,`+hostLocal, existing),
		bridge("hairpinMode", `,"hairpinMode":true,`+hostLocal),
		bridge("promiscMode", `,"promiscMode":true,"isGateway":true,`+hostLocal),
		bridge("macspoofchk", `,"macspoofchk":true,`+hostLocal),
		bridge("enabledad", `,"enabledad":true,"isGateway":true,`+dualStack),
		bridge("disableContainerInterface", `,"disableContainerInterface":true`),
		bridge("portIsolation", `,"portIsolation":true,"isGateway":true,`+hostLocal),
		bridge("mac of the configuration", `,"args":{"cni":{"mac":"02:00:00:00:00:09"}},`+hostLocal),
		mac, able,
		bridge("dns", `,"dns":{"nameservers":["10.1.0.1"],"domain":"example.org","search":["example.org"],"options":["ndots:5"]},`+hostLocal),
		bridge("default name", `,"bridge":"cni0"`),
	}
}

func bridgeErrorRows() []row {
	bad := func(name, plugin string, more ...string) row {
		r := row{Name: "bridge, bad: " + name, Alone: true, Plugins: plugin}
		if len(more) > 0 {
			r.Prepare = more[0]
		}
		return r
	}
	options := func(options string) string { return `{"type":"bridge","bridge":"br0",` + options + `}` }
	return []row{
		bad("another address", options(`"isGateway":true,`+hostLocal), "ip link add br0 type bridge\nip addr add 10.9.0.1/24 dev br0\n"),
		bad("overlapping IPv6 address", options(`"isGateway":true,`+dualStack), "ip link add br0 type bridge\nip addr add fd01::5/60 dev br0\n"),
		bad("no bridge", options(hostLocal), "ip link add br0 type veth peer name br0x\n"),
		bad("interface exists", options(hostLocal), "nsenter --net=/run/netns/alpha ip link add eth0 type veth peer name ethx\n"),
		bad("hairpinMode and promiscMode", options(`"hairpinMode":true,"promiscMode":true`)),
		bad("addresses without interface", options(`"disableContainerInterface":true,`+hostLocal)),
		bad("VLAN 5000", options(`"vlan":5000`)),
		bad("trunk from 20 to 10", options(`"vlanTrunk":[{"minID":20,"maxID":10}]`)),
		bad("trunk without an end", options(`"vlanTrunk":[{"minID":20}]`)),
		bad("trunk without a beginning", options(`"vlanTrunk":[{"maxID":20}]`)),
		bad("trunk of 0", options(`"vlanTrunk":[{"id":0}]`)),
		bad("a word for a number", options(`"mtu":"large"`)),
		bad("mtu of 70000", options(`"mtu":70000`)),
		bad("name too long", `{"type":"bridge","bridge":"a-name-of-17-char"}`),
		bad("backend of no kind", options(`"isGateway":true,"ipMasq":true,"ipMasqBackend":"pf",`+hostLocal)),
		bad("mac of no kind", options(`"args":{"cni":{"mac":"02:00"}},`+hostLocal)),
		bad("plugin for addresses missing", options(`"ipam":{"type":"absent"}`)),
	}
}

func vlanRows() []row {
	vlan := func(name, options string) row {
		return row{Name: "bridge vlan " + name, Plugins: `{"type":"bridge","bridge":"br0",` + options + `}`}
	}
	return []row{
		vlan("100", `"vlan":100`),
		vlan("100 of a gateway", `"vlan":100,"isGateway":true,`+dualStack),
		vlan("100, default kept", `"vlan":100,"preserveDefaultVlan":true,`+hostLocal),
		vlan("trunk", `"vlanTrunk":[{"id":42},{"minID":100,"maxID":103}]`),
		vlan("trunk with a native one", `"vlan":100,"vlanTrunk":[{"id":42}],"preserveDefaultVlan":false`),
	}
}

func pointToPointRows() []row {
	ptp := func(name, options string) row {
		return row{Name: "ptp " + name, Plugins: `{"type":"ptp",` + options + `}`}
	}
	chain := row{Name: "ptp chain", Runtime: webPort, Plugins: `{"type":"ptp","ipMasq":true,"ipMasqBackend":"nftables","mtu":1400,` + dualStack + `},
		{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true}}`}
	bad := ptp("without addresses", `"mtu":1400`)
	word := ptp("a word for a number", `"mtu":"large",`+hostLocal)
	bad.Alone, word.Alone = true, true
	return append(chain.in("0.3.0", "1.1.0"),
		ptp("plain", hostLocal),
		ptp("ipMasq by nftables", `"ipMasq":true,"ipMasqBackend":"nftables",`+hostLocal),
		ptp("ipMasq by iptables", `"ipMasq":true,"ipMasqBackend":"iptables",`+dualStack),
		ptp("dns", `"dns":{"nameservers":["10.1.0.1"]},`+dualStack),
		ptp("no routes", `"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd01::/64"}]]}`),
		bad, word)
}

func macvlanRows() []row {
	const master = "ip link add out0 type veth peer name out1\nip link set out1 up\nip link set out0 up mtu 1400\nip addr add 10.1.0.200/16 dev out0\nip route add default via 10.1.0.201\n"
	macvlan := func(name, options string) row {
		return row{Name: "macvlan " + name, Prepare: master, Plugins: `{"type":"macvlan",` + options + `}`}
	}
	bad := func(name, options string) row {
		r := macvlan("bad: "+name, options)
		r.Alone = true
		return r
	}
	inside := macvlan("linkInContainer", `"master":"in0","linkInContainer":true,`+hostLocal)
	inside.Prepare = "for pod in alpha beta; do\nnsenter --net=/run/netns/$pod sh -c 'ip link add in0 type veth peer name in1; ip link set in0 up; ip link set in1 up'\ndone\n"
	able := macvlan("mac of a capability", `"master":"out0","capabilities":{"mac":true},`+hostLocal)
	able.Runtime = runtimeOf("alpha", `{"mac":"02:00:00:00:00:08"}`)
	all := macvlan("bridge", `"master":"out0","mode":"bridge",`+dualStack).in("0.3.1", "1.1.0")
	return append(all, inside, able,
		macvlan("private", `"master":"out0","mode":"private",`+hostLocal),
		macvlan("vepa, no addresses", `"master":"out0","mode":"vepa"`),
		macvlan("passthru", `"master":"out0","mode":"passthru"`),
		macvlan("mtu and queue", `"master":"out0","mtu":1300,"bcqueuelen":500,`+hostLocal),
		macvlan("mac", `"master":"out0","mac":"02:00:00:00:00:09"`),
		macvlan("master by the default route", hostLocal),
		bad("master missing", `"master":"absent",`+hostLocal),
		bad("mode", `"master":"out0","mode":"hairpin",`+hostLocal),
		bad("mtu above the master's", `"master":"out0","mtu":1500,`+hostLocal),
		bad("negative mtu", `"master":"out0","mtu":-1,`+hostLocal),
		bad("mac", `"master":"out0","mac":"02:00",`+hostLocal))
}

func runtimeOf(pod, values string) map[string]jsonText {
	return map[string]jsonText{pod: jsonText(values)}
}
