// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// configurations are those of the reference plugin's documentation, by each backend.
func configurations() map[string]string {
	const many = webPort + `, {"hostPort": 8081, "containerPort": 81, "protocol": "udp", "hostIP": "10.1.1.1"},
		{"hostPort": 8082, "containerPort": 82, "protocol": "sctp", "hostIP": "0.0.0.0"},
		{"hostPort": 8083, "containerPort": 83, "protocol": "tcp", "hostIP": "fd00::9"},
		{"hostPort": 8084, "containerPort": 84, "protocol": "tcp", "hostIP": "::"}`
	var sixteen []string
	for i := range 16 {
		sixteen = append(sixteen, fmt.Sprintf(`{"hostPort": %d, "containerPort": 80, "protocol": "tcp"}`, 9000+i))
	}
	all := map[string]string{}
	for _, backend := range []string{"nftables", "iptables"} {
		option := fmt.Sprintf(`"backend": %q`, backend)
		for name, config := range map[string]string{
			"plain":    configure(option, webPort, bothAddresses),
			"16 ports": configure(option+`, "snat": false`, strings.Join(sixteen, ","), `"ips": [{"address": "10.22.0.5/32"}]`),
			"no snat":  configure(option+`, "snat": false`, many, bothAddresses),
			"masqAll":  configure(option+`, "masqAll": true, "markMasqBit": 5`, webPort, bothAddresses),
			"no ports": configure(option, "", bothAddresses),
		} {
			all[backend+" "+name] = config
		}
		if backend == "iptables" {
			continue // its programs take their time
		}
		for name, config := range map[string]string{
			"no snat":   configure(option+`, "snat": false`, many, bothAddresses),
			"many":      configure(option, many, bothAddresses),
			"IPv6":      configure(option, many, `"ips": [{"address": "fd00::5/64"}]`),
			"IPv4":      configure(option, many, `"ips": [{"address": "10.22.0.5/32"}]`),
			"addresses": configure(option, webPort, `"ips": [{"interface": 1, "address": "10.9.9.9/24"}, {"address": "10.22.0.5/24"}, {"address": "10.22.0.6/24"}, {"interface": 7, "address": "fd00::7/64"}]`),
			"no ips":    configure(option, webPort, `"ips": []`),
		} {
			all[backend+" "+name] = config
		}
	}
	all["iptables conditions"] = configure(`"backend": "iptables", "conditionsV4": ["!", "-s", "192.0.2.0/24"], "conditionsV6": ["-s", "2001:db8::/32"]`, many, bothAddresses)
	all["iptables mark chain"] = configure(`"backend": "iptables", "externalSetMarkChain": "POSTROUTING"`, webPort, `"ips": []`)
	return all
}

// Errors are the reference plugin's, word for word.
func TestSameErrors(t *testing.T) {
	p := plugin(t)
	port := func(m string) string { return configure("", m, bothAddresses) }
	for name, config := range map[string]string{
		"both marks":         configure(`"markMasqBit": 3, "externalSetMarkChain": "X"`, webPort, bothAddresses),
		"mark bit":           configure(`"markMasqBit": 32`, webPort, bothAddresses),
		"negative mark bit":  configure(`"markMasqBit": -1`, webPort, bothAddresses),
		"backend":            configure(`"backend": "ipfw"`, webPort, bothAddresses),
		"empty backend":      configure(`"backend": ""`, webPort, bothAddresses),
		"wrong option":       configure(`"backend": "nftables", "externalSetMarkChain": "X"`, webPort, bothAddresses),
		"wrong conditions":   configure(`"backend": "iptables", "conditionsV4": ["ip saddr 1.2.3.4"], "conditionsV6": ["ip6 saddr ::1"]`, webPort, bothAddresses),
		"iptables in nft":    configure(`"backend": "nftables", "conditionsV4": ["-s"], "conditionsV6": ["!"]`, webPort, bothAddresses),
		"host port 0":        port(`{"hostPort": 0, "containerPort": 80, "protocol": "tcp"}`),
		"container port 0":   port(`{"hostPort": 80, "containerPort": 0, "protocol": "tcp"}`),
		"negative port":      port(`{"hostPort": -80, "containerPort": 80, "protocol": "tcp"}`),
		"no previous result": `{"cniVersion": "1.0.0", "name": "net", "type": "portmap", "runtimeConfig": {"portMappings": [` + webPort + `]}}`,
		"bad result":         configure("", webPort, `"ips": [{"address": "nonsense"}]`),
		"result's version":   strings.Replace(configure("", webPort, bothAddresses), `"prevResult": {"cniVersion": "1.0.0"`, `"prevResult": {"cniVersion": "7.0.0"`, 1),
	} {
		_, err := p.Add(t.Context(), call("pod", config))
		if want := reference(t, "ADD", "pod", config); err == nil || want == nil || err.Error() != want.Error() {
			t.Errorf("%s: error %q, the reference plugin's %q", name, err, want)
		}
		err, want := p.Check(t.Context(), call("pod", config)), reference(t, "CHECK", "pod", config)
		if (err == nil) != (want == nil) {
			t.Errorf("%s: CHECK: %v, the reference plugin's %v", name, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	p := plugin(t)
	testnode.ClearRules(t)
	for _, m := range []string{
		`{"hostPort": 65536, "containerPort": 80, "protocol": "tcp"}`,
		`{"hostPort": 80, "containerPort": 65616, "protocol": "tcp"}`,
		`{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}`,
		`{"hostPort": 80, "containerPort": 80}`,
		`{"hostPort": 80, "containerPort": 80, "protocol": "tcp", "hostIP": "1.2.3.4; drop"}`,
	} {
		for _, backend := range []string{"nftables", "iptables"} {
			config := configure(fmt.Sprintf(`"backend": %q`, backend), webPort+","+m, bothAddresses)
			if _, err := p.Add(t.Context(), call("pod", config)); err == nil {
				t.Errorf("%s: no error for %s", backend, m)
			}
			if err := p.Del(t.Context(), call("pod", config)); err != nil {
				t.Errorf("%s: DEL: %v", backend, err)
			}
		}
	}
	for _, options := range []string{`"externalSetMarkChain": "-F"`, `"conditionsV4": ["-s", "nonsense"]`, `"externalSetMarkChain": "NO-SUCH-CHAIN"`} {
		config := configure(options, webPort, bothAddresses)
		if _, err := p.Add(t.Context(), call("pod", config)); err == nil {
			t.Errorf("no error for %s", options)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Add(ctx, call("pod", configure("", webPort, bothAddresses))); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
	if got := testnode.Rules(t); strings.Contains(got, "pod") || strings.Contains(got, "CNI-DN-") || strings.Contains(got, "dnat to") {
		t.Errorf("left behind\n%s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, config := range configurations() {
		f.Add([]byte(config))
	}
	f.Add([]byte(`{"prevResult": {"cniVersion": "1.0.0", "ips": [null], "interfaces": [null]}}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		c, err := parse(config, "eth0", "pod")
		if err != nil {
			return
		}
		c.wanted()
		c.conditional()
		rules, err := portRules(c)
		if err != nil {
			return
		}
		for _, r := range rules {
			r.rule("pod")
			r.iptables(c)
		}
		for _, to := range c.addresses() {
			dnatChain(c, rules, to)
			table(isIPv6(to.IP), c.snat())
		}
		sharedChains(c)
	})
}
