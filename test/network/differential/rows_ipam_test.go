// SPDX-License-Identifier: Apache-2.0

package differential

// addresses makes a row of a bridge with addresses of host-local.
func addresses(name, ipam string) row {
	return row{Name: "host-local " + name, Plugins: `{"type":"bridge","bridge":"br0","isGateway":true,"capabilities":{"ips":true,"ipRanges":true},
		"ipam":{"type":"host-local",` + ipam + `}}`}
}

func addressRows() []row {
	const net = `"subnet":"10.1.0.0/16"`
	asked := addresses("address of arguments", net)
	asked.Args = map[string][][2]string{"alpha": {{"IgnoreUnknown", "1"}, {"IP", "10.1.0.50"}}, "beta": {{"IP", "10.1.0.60"}}}
	able := addresses("addresses of a capability", `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd01::/64"}]]`)
	able.Runtime = runtimeOf("alpha", `{"ips":["10.1.0.50/16","fd01::50"]}`)
	nodes := addresses("ranges of a capability", `"routes":[{"dst":"0.0.0.0/0"}]`)
	nodes.Runtime = runtimeOf("alpha", `{"ipRanges":[[{"subnet":"10.2.0.0/24"}],[{"subnet":"fd02::/64"}]]}`)
	nodes.Runtime["beta"] = nodes.Runtime["alpha"]
	resolver := addresses("resolvConf", net+`,"resolvConf":"/run/resolv.conf"`)
	resolver.Prepare = "printf 'nameserver 10.9.9.9\\nnameserver fd09::9\\nsearch a.example b.example\\noptions ndots:3\\ndomain c.example\\n' >/run/resolv.conf\n"
	restarted := addresses("last address noted", net+`,"dataDir":"/run/addresses"`)
	restarted.Prepare = "mkdir -p /run/addresses/net\nprintf 10.1.0.9 >/run/addresses/net/last_reserved_ip.0\nprintf 'other\\r\\neth0' >/run/addresses/net/10.1.0.10\n"
	older := addresses("address of a pod by its older note", net+`,"dataDir":"/run/addresses"`)
	older.Prepare = "mkdir -p /run/addresses/net\nprintf alpha >/run/addresses/net/10.1.0.10\n"
	around := addresses("end of the range", `"subnet":"10.1.0.0/29"`)
	around.Prepare = "mkdir -p /var/lib/cni/networks/net\nprintf 10.1.0.6 >/var/lib/cni/networks/net/last_reserved_ip.0\n"
	routes := addresses("routes with everything", net+`,"routes":[{"dst":"10.8.0.0/16","gw":"10.1.0.1","mtu":1300,"advmss":1200,"priority":50},
		{"dst":"10.7.0.0/16","gw":"10.1.0.1","table":100}]`)
	routes.Version = "1.1.0"
	arguments := addresses("addresses of args", net)
	arguments.Plugins = `{"type":"bridge","bridge":"br0","args":{"cni":{"ips":["10.1.0.77"]}},"ipam":{"type":"host-local",` + net + `}}`
	return []row{
		addresses("two subnets, two families", `"ranges":[[{"subnet":"10.1.0.0/24"},{"subnet":"10.2.0.0/24"}],[{"subnet":"fd01::/120"}]]`),
		addresses("range and gateway", `"ranges":[[{"subnet":"10.1.0.0/16","rangeStart":"10.1.3.10","rangeEnd":"10.1.3.20","gateway":"10.1.255.254"}]]`),
		addresses("subnet and ranges", net+`,"rangeStart":"10.1.0.100","ranges":[[{"subnet":"fd01::/64"}]]`),
		asked, able, nodes, resolver, restarted, older, around, routes, arguments,
	}
}

func addressErrorRows() []row {
	taken := addresses("address asked for twice", `"subnet":"10.1.0.0/16"`)
	taken.Args = map[string][][2]string{"alpha": {{"IP", "10.1.0.50"}}, "beta": {{"IP", "10.1.0.50"}}}
	foreign := addresses("address of no range", `"subnet":"10.1.0.0/16"`)
	foreign.Args = map[string][][2]string{"alpha": {{"IP", "10.2.0.50"}}, "beta": {{"IP", "fish"}}}
	own := addresses("the gateway's address", `"subnet":"10.1.0.0/16"`)
	own.Args = map[string][][2]string{"alpha": {{"IP", "10.1.0.1"}}, "beta": {{"IP", "10.1.0.0"}}}
	file := addresses("resolvConf missing", `"subnet":"10.1.0.0/16","resolvConf":"/run/absent"`)
	all := []row{
		addresses("used up", `"ranges":[[{"subnet":"10.1.0.0/16","rangeStart":"10.1.0.9","rangeEnd":"10.1.0.9"}]]`),
		addresses("used up in the second family", `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd01::/64","rangeStart":"fd01::9","rangeEnd":"fd01::9"}]]`),
		addresses("no range", `"routes":[]`),
		addresses("subnet too small", `"subnet":"10.1.0.0/31"`),
		addresses("overlapping ranges", `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"10.1.5.0/24"}]]`),
		addresses("families in one set", `"ranges":[[{"subnet":"10.1.0.0/16"},{"subnet":"fd01::/64"}]]`),
		addresses("range outside", `"ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.1.10"}]]`),
		addresses("range turned round", `"ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.20","rangeEnd":"10.1.0.10"}]]`),
		addresses("gateway outside", `"ranges":[[{"subnet":"10.1.0.0/24","gateway":"10.2.0.1"}]]`),
		addresses("host bits set", `"subnet":"10.1.0.5/16"`),
		addresses("no subnet", `"subnet":"fish"`),
		taken, foreign, own, file,
	}
	for i := range all {
		all[i].Name = "bad: " + all[i].Name
		all[i].Alone = true
	}
	return all
}
