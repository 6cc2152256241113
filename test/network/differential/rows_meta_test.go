// SPDX-License-Identifier: Apache-2.0

package differential

import "fmt"

// forwarding makes a row of portmap behind a bridge.
func forwarding(name, backend, options, mappings string) row {
	return row{Name: "portmap by " + backend + ", " + name, Runtime: ports(mappings), Plugins: gateway +
		`,{"type":"portmap","backend":"` + backend + `","capabilities":{"portMappings":true}` + options + `}`}
}

const tcp = `{"hostPort":8080,"containerPort":80,"protocol":"tcp"}`

func portRows() []row {
	var all []row
	for _, backend := range []string{"nftables", "iptables"} {
		many := ""
		for i := range 20 {
			many += fmt.Sprintf(`{"hostPort":%d,"containerPort":80,"protocol":"tcp"},{"hostPort":%d,"containerPort":53,"protocol":"udp"},`, 9000+i, 9000+i)
		}
		conditions := `,"conditionsV4":["ip","saddr","!=","10.0.0.0/8"],"conditionsV6":["ip6","saddr","!=","fd00::/8"]`
		if backend == "iptables" {
			conditions = `,"conditionsV4":["!","-s","10.0.0.0/8"],"conditionsV6":["!","-s","fd00::/8"]`
		}
		make := func(name, options, mappings string) { all = append(all, forwarding(name, backend, options, mappings)) }
		make("one of each protocol", "", tcp+`,{"hostPort":5353,"containerPort":53,"protocol":"udp"},{"hostPort":3868,"containerPort":3868,"protocol":"sctp"}`)
		make("one host address", "", `{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"},{"hostPort":8080,"containerPort":81,"protocol":"tcp","hostIP":"10.9.0.1"},
			{"hostPort":8080,"containerPort":82,"protocol":"tcp","hostIP":"fd09::1"}`)
		make("unspecified host addresses", "", `{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"0.0.0.0"},{"hostPort":8081,"containerPort":80,"protocol":"tcp","hostIP":"::"}`)
		make("no SNAT", `,"snat":false`, tcp)
		make("masqAll", `,"masqAll":true`, tcp)
		make("bit", `,"markMasqBit":14`, tcp)
		make("conditions", conditions, tcp)
		make("many ports", "", many+tcp)
		make("no ports", "", "")
	}
	outside := forwarding("chain of others", "iptables", `,"externalSetMarkChain":"KUBE-MARK-MASQ"`, tcp)
	outside.Prepare = "iptables -t nat -N KUBE-MARK-MASQ\nip6tables -t nat -N KUBE-MARK-MASQ\n"
	return append(all, outside)
}

func portErrorRows() []row {
	all := []row{
		forwarding("bad: unknown", "pf", "", tcp),
		forwarding("bad: two marks", "iptables", `,"externalSetMarkChain":"X","markMasqBit":13`, tcp),
		forwarding("bad: bit 32", "nftables", `,"markMasqBit":32`, tcp),
		forwarding("bad: other backend's conditions", "nftables", `,"conditionsV4":["-s","10.0.0.0/8"]`, tcp),
		forwarding("bad: other backend's conditions", "iptables", `,"conditionsV4":["ip","saddr","10.0.0.0/8"]`, tcp),
		forwarding("bad: other backend's chain", "nftables", `,"externalSetMarkChain":"X"`, tcp),
		forwarding("bad: port 0", "nftables", "", `{"hostPort":0,"containerPort":80,"protocol":"tcp"}`),
		forwarding("bad: container's port 0", "nftables", "", `{"hostPort":80,"containerPort":0,"protocol":"tcp"}`),
		{Name: "portmap bad: first of a chain", Runtime: webPort, Plugins: `{"type":"portmap","capabilities":{"portMappings":true}}`},
	}
	for i := range all {
		all[i].Alone = true
	}
	return all
}

func firewallRows() []row {
	firewall := func(name, options string) row {
		return row{Name: "firewall " + name, Plugins: gateway + `,{"type":"firewall","backend":"iptables"` + options + `}`}
	}
	alone := row{Name: "firewall bad: first of a chain", Alone: true, Plugins: `{"type":"firewall","backend":"iptables"}`}
	bad := firewall("bad: policy", `,"ingressPolicy":"closed"`)
	bad.Alone = true
	return []row{
		firewall("plain", ""), firewall("open", `,"ingressPolicy":"open"`), firewall("same bridge", `,"ingressPolicy":"same-bridge"`),
		firewall("isolated", `,"ingressPolicy":"isolated"`), firewall("chain of the administrator's", `,"iptablesAdminChainName":"ADMIN"`), alone, bad,
	}
}

func bandwidthRows() []row {
	limit := func(name, options string) row {
		return row{Name: "bandwidth " + name, Plugins: gateway + `,{"type":"bandwidth","capabilities":{"bandwidth":true}` + options + `}`}
	}
	able := limit("of a capability", "")
	able.Runtime = runtimeOf("alpha", `{"bandwidth":{"ingressRate":8000000,"ingressBurst":80000,"egressRate":16000000,"egressBurst":160000}}`)
	both := limit("of both", `,"ingressRate":8000000,"ingressBurst":80000`)
	both.Runtime = runtimeOf("beta", `{"bandwidth":{"egressRate":16000000,"egressBurst":4294967295}}`)
	ptp := row{Name: "bandwidth of ptp", Plugins: `{"type":"ptp",` + hostLocal + `},{"type":"bandwidth","ingressRate":8000000,"ingressBurst":80000,"egressRate":16000000,"egressBurst":160000}`}
	all := []row{
		able, both, ptp,
		limit("in", `,"ingressRate":8000000,"ingressBurst":80000`),
		limit("out", `,"egressRate":16000000,"egressBurst":160000`),
		limit("none", ""),
	}
	for _, bad := range []row{
		limit("bad: rate without burst", `,"ingressRate":8000000`),
		limit("bad: burst without rate", `,"egressBurst":160000`),
		limit("bad: burst too large", `,"egressRate":16000000,"egressBurst":34359738369`),
		limit("bad: a word", `,"egressRate":"fast"`),
		{Name: "bandwidth bad: first of a chain", Plugins: `{"type":"bandwidth","ingressRate":8000000,"ingressBurst":80000}`},
		{Name: "bandwidth bad: no veth", Plugins: `{"type":"loopback"},{"type":"bandwidth","ingressRate":8000000,"ingressBurst":80000}`},
	} {
		bad.Alone = true
		all = append(all, bad)
	}
	return all
}

func tuningRows() []row {
	tuned := func(name, options string) row {
		return row{Name: "tuning " + name, Plugins: gateway + `,{"type":"tuning"` + options + `}`}
	}
	mac := tuned("mac of arguments", `,"mac":"02:00:00:00:00:05"`)
	mac.Args = map[string][][2]string{"alpha": {{"IgnoreUnknown", "1"}, {"MAC", "02:00:00:00:00:07"}}}
	able := tuned("mac of a capability", `,"capabilities":{"mac":true}`)
	able.Runtime = runtimeOf("alpha", `{"mac":"02:00:00:00:00:08"}`)
	all := []row{
		mac, able,
		tuned("sysctl", `,"sysctl":{"net.ipv4.conf.all.rp_filter":"2","net.ipv4.conf.IFNAME.arp_filter":"1","net/ipv6/conf/IFNAME/accept_ra":"0"}`),
		tuned("mtu, queue", `,"mtu":1400,"txQLen":500`),
		tuned("promisc, allmulti", `,"promisc":true,"allmulti":true`),
		tuned("no allmulti", `,"allmulti":false`),
		tuned("everything, other directory", `,"mac":"02:00:00:00:00:05","mtu":1400,"promisc":true,"allmulti":true,"txQLen":7,"dataDir":"/run/tuned"`),
		tuned("arguments", `,"sysctl":{},"args":{"cni":{"mac":"02:00:00:00:00:06","mtu":1300,"promisc":true,"allmulti":true,"txQLen":9,"sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1"}}}`),
		tuned("nothing", ""),
	}
	for _, bad := range []row{
		tuned("bad: sysctl of the host", `,"sysctl":{"kernel.hostname":"fish"}`),
		tuned("bad: sysctl that goes up", `,"sysctl":{"net.ipv4/../../kernel/hostname":"fish"}`),
		tuned("bad: sysctl missing", `,"sysctl":{"net.absent":"1"}`),
		tuned("bad: mac", `,"mac":"02:00"`),
		tuned("bad: mtu", `,"mtu":70000`),
		tuned("bad: a word", `,"mtu":"large"`),
		{Name: "tuning bad: first of a chain", Plugins: `{"type":"tuning","mtu":1400}`},
	} {
		bad.Alone = true
		all = append(all, bad)
	}
	return all
}

// spoiltRows have something missing or changed at the second CHECK.
func spoiltRows() []row {
	const in = "nsenter --net=/run/netns/alpha "
	spoilt := func(name, spoil, plugins string) row {
		return row{Name: "spoilt: " + name, Version: "1.1.0", Runtime: webPort, Spoil: spoil, Plugins: plugins}
	}
	const nft = `{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true}}`
	const tables = `{"type":"portmap","backend":"iptables","capabilities":{"portMappings":true}}`
	const limit = `{"type":"bandwidth","ingressRate":8000000,"ingressBurst":80000,"egressRate":16000000,"egressBurst":160000}`
	const ptp = `{"type":"ptp",` + hostLocal + `}`
	macvlan := spoilt("macvlan's address", in+"ip addr del 10.1.0.2/16 dev eth0", `{"type":"macvlan","master":"out0",`+hostLocal+`}`)
	macvlan.Prepare = "ip link add out0 type veth peer name out1\nip link set out1 up\nip link set out0 up\n"
	return []row{
		macvlan,
		spoilt("address", in+"ip addr del 10.1.0.2/16 dev eth0", gateway),
		spoilt("route", in+"ip route del default", gateway),
		spoilt("hardware address", in+"ip link set eth0 address 02:00:00:00:00:03", gateway),
		spoilt("interface", in+"ip link del eth0", gateway),
		spoilt("bridge's name", "ip link set br0 down\nip link set br0 name br1", gateway),
		spoilt("port of no bridge", "ip link set $(ip -o link show type veth | sed 's/^[0-9]*: \\([^@]*\\)@.*/\\1/' | head -1) nomaster", gateway),
		spoilt("lease", "rm /var/lib/cni/networks/net/10.1.0.2", gateway),
		spoilt("ptp's address", in+"ip addr del 10.1.0.2/16 dev eth0", ptp),
		spoilt("ptp's interface", in+"ip link del eth0", ptp),
		spoilt("nftables", "nft flush ruleset", gateway+","+nft),
		spoilt("iptables", "iptables -t nat -F", gateway+","+tables),
		spoilt("firewall", "iptables -F CNI-FORWARD", gateway+`,{"type":"firewall","backend":"iptables"}`),
		spoilt("limits", "for l in $(ip -o link show type veth | sed 's/^[0-9]*: \\([^@]*\\)@.*/\\1/'); do tc qdisc del dev $l root; done", gateway+","+limit),
		spoilt("tuned", in+"ip link set eth0 mtu 1280", gateway+`,{"type":"tuning","mtu":1400,"sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1"}}`),
		spoilt("loopback", in+"ip link set lo down", `{"type":"loopback"}`),
	}
}
