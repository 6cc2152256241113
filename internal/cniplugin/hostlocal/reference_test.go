// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// variant is a configuration, and calls with it after which results and files must be the same.
type variant struct {
	name  string
	ipam  string // without type and dataDir
	more  string // beside ipam
	args  string // CNI_ARGS of ADD
	calls []string
}

// usual makes use of addresses again, and of a set that is full.
var usual = []string{"CHECK a", "ADD a", "CHECK a", "CHECK b", "ADD a", "ADD b", "ADD c", "DEL b", "ADD d", "DEL b", "DEL a", "ADD e", "ADD f", "ADD g", "DEL c", "DEL d", "ADD h", "DEL e", "DEL f", "DEL g", "DEL h"}

var variants = []variant{
	{name: "subnet", ipam: `"subnet":"10.1.2.0/24"`},
	{name: "subnet with host bits", ipam: `"subnet":"10.1.2.3/24"`},
	{name: "subnet of two", ipam: `"subnet":"10.1.2.0/30"`},
	{name: "subnet too small", ipam: `"subnet":"10.1.2.0/31"`},
	{name: "start and end", ipam: `"subnet":"10.1.2.0/24","rangeStart":"10.1.2.10","rangeEnd":"10.1.2.12"`},
	{name: "gateway within", ipam: `"subnet":"10.1.2.0/24","rangeStart":"10.1.2.10","rangeEnd":"10.1.2.14","gateway":"10.1.2.11"`},
	{name: "gateway only", ipam: `"subnet":"10.1.2.0/24","rangeStart":"10.1.2.10","rangeEnd":"10.1.2.10","gateway":"10.1.2.10"`},
	{name: "gateway at the end", ipam: `"subnet":"10.1.2.0/29","gateway":"10.1.2.6"`},
	{name: "gateway elsewhere", ipam: `"subnet":"10.1.2.0/29","gateway":"10.9.9.9"`},
	{name: "start outside", ipam: `"subnet":"10.1.2.0/24","rangeStart":"10.1.3.10"`},
	{name: "end outside", ipam: `"subnet":"10.1.2.0/24","rangeEnd":"2001:db8::1"`},
	{name: "end before start", ipam: `"subnet":"10.1.2.0/24","rangeStart":"10.1.2.10","rangeEnd":"10.1.2.9"`},
	{name: "not an address", ipam: `"subnet":"10.1.2.0/24","rangeStart":"somewhere"`},
	{name: "IPv6", ipam: `"subnet":"2001:db8:1::/64"`},
	{name: "IPv6 small", ipam: `"subnet":"2001:db8:1::/126"`},
	{name: "IPv6 high", ipam: `"subnet":"2001:db8:1::/64","rangeStart":"2001:db8:1::ffff:ffff:ffff:fffe"`},
	{name: "IPv4 in IPv6", ipam: `"subnet":"::ffff:10.1.2.0/120"`},
	{name: "one set of ranges", ipam: `"ranges":[[{"subnet":"10.1.2.0/30"},{"subnet":"10.2.2.0/30"},{"subnet":"10.3.2.0/29","rangeStart":"10.3.2.4","rangeEnd":"10.3.2.4"}]]`},
	{name: "two sets", ipam: `"ranges":[[{"subnet":"10.1.2.0/29"}],[{"subnet":"2001:db8:1::/64"}]]`},
	{name: "three sets", ipam: `"ranges":[[{"subnet":"10.1.2.0/29"}],[{"subnet":"10.2.2.0/30"}],[{"subnet":"2001:db8:1::/64"}]]`},
	{name: "subnet and sets", ipam: `"subnet":"10.5.0.0/29","ranges":[[{"subnet":"10.1.2.0/29"}]]`},
	{name: "sets overlap", ipam: `"ranges":[[{"subnet":"10.1.2.0/29"}],[{"subnet":"10.1.0.0/16"}]]`},
	{name: "ranges overlap", ipam: `"ranges":[[{"subnet":"10.1.2.0/29"},{"subnet":"10.1.0.0/16"}]]`},
	{name: "parts of one subnet", ipam: `"ranges":[[{"subnet":"10.1.2.0/24","rangeEnd":"10.1.2.3"},{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.200","rangeEnd":"10.1.2.201"}]]`},
	{name: "families mixed", ipam: `"ranges":[[{"subnet":"10.1.2.0/29"},{"subnet":"2001:db8:1::/64"}]]`},
	{name: "empty set", ipam: `"ranges":[[]]`},
	{name: "no ranges", ipam: `"ranges":[]`},
	{name: "null range", ipam: `"ranges":[[null]]`},
	{name: "ranges of the runtime", ipam: `"ranges":[[{"subnet":"10.1.2.0/29"}]]`, more: `"runtimeConfig":{"ipRanges":[[{"subnet":"10.7.0.0/29"}]]}`},
	{name: "ranges of the runtime only", ipam: `"x":0`, more: `"runtimeConfig":{"ipRanges":[[{"subnet":"10.7.0.0/29"}],[{"subnet":"fd00::/80"}]]}`},
	{name: "routes", ipam: `"subnet":"10.1.2.0/24","routes":[{"dst":"0.0.0.0/0"},{"dst":"192.168.0.0/16","gw":"10.10.5.1"},{"dst":"::/0","mtu":1300,"advmss":1260,"priority":3,"table":100,"scope":253}]`},
	{name: "route without dst", ipam: `"subnet":"10.1.2.0/24","routes":[{"gw":"10.10.5.1","dst":"x"}]`},
	{name: "resolvConf", ipam: `"subnet":"10.1.2.0/24","resolvConf":"DIR/resolv.conf"`},
	{name: "resolvConf missing", ipam: `"subnet":"10.1.2.0/24","resolvConf":"DIR/missing"`},
	{name: "resolvConf null device", ipam: `"subnet":"10.1.2.0/24","resolvConf":"/dev/null"`},
	{name: "IP in CNI_ARGS", ipam: `"subnet":"10.1.2.0/24"`, args: "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.1.2.77", calls: []string{"ADD a", "ADD b", "DEL a", "ADD b", "ADD b"}},
	{name: "IP with prefix in CNI_ARGS", ipam: `"subnet":"10.1.2.0/24"`, args: "IP=10.1.2.77/8", calls: []string{"ADD a"}},
	{name: "IP of none in CNI_ARGS", ipam: `"subnet":"10.1.2.0/24"`, args: "IP=", calls: []string{"ADD a"}},
	{name: "unknown CNI_ARGS", ipam: `"subnet":"10.1.2.0/24"`, args: "FOO=1", calls: []string{"ADD a"}},
	{name: "bad CNI_ARGS", ipam: `"subnet":"10.1.2.0/24"`, args: "IP=nowhere", calls: []string{"ADD a"}},
	{name: "CNI_ARGS without a value", ipam: `"subnet":"10.1.2.0/24"`, args: "IP", calls: []string{"ADD a"}},
	{name: "IPs in args", ipam: `"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`, more: `"args":{"cni":{"ips":["2001:db8:1::99","10.1.2.50"]}}`, calls: []string{"ADD a", "ADD b", "DEL a", "ADD b"}},
	{name: "one IP in args", ipam: `"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`, more: `"args":{"cni":{"ips":["2001:db8:1::99"]}}`, calls: []string{"ADD a", "DEL a", "ADD b"}},
	{name: "empty IP in args", ipam: `"subnet":"10.1.2.0/24"`, more: `"args":{"cni":{"ips":[""]}}`, calls: []string{"ADD a"}},
	{name: "IPs of the runtime", ipam: `"subnet":"10.1.2.0/24"`, more: `"runtimeConfig":{"ips":["10.1.2.9/24"]}`, calls: []string{"ADD a", "ADD b", "DEL a", "ADD b"}},
	{name: "same IP twice", ipam: `"subnet":"10.1.2.0/24"`, args: "IP=10.1.2.9", more: `"runtimeConfig":{"ips":["10.1.2.9/24"]}`, calls: []string{"ADD a"}},
	{name: "IP outside", ipam: `"subnet":"10.1.2.0/24"`, more: `"runtimeConfig":{"ips":["10.1.9.9/24"]}`, calls: []string{"ADD a"}},
	{name: "IP of the gateway", ipam: `"subnet":"10.1.2.0/24"`, more: `"runtimeConfig":{"ips":["10.1.2.1"]}`, calls: []string{"ADD a"}},
	{name: "two IPs in a set", ipam: `"subnet":"10.1.2.0/24"`, more: `"runtimeConfig":{"ips":["10.1.2.7","10.1.2.7","10.1.2.7"]}`, calls: []string{"ADD a"}},
	{name: "spaces in the ID", ipam: `"subnet":"10.1.2.0/24"`, calls: []string{"ADD a/b", "ADD ..", "ADD a.b_c-d"}},
}

func (v variant) conf(version string) string {
	text := `{"cniVersion":"` + version + `","name":"net","type":"bridge","ipam":{"type":"host-local","dataDir":"DIR",` + v.ipam + `}`
	if v.more != "" {
		text += "," + v.more
	}
	return text + "}"
}

const resolv = "# comment\n; another\nnameserver 192.0.2.0\n\n  nameserver\t192.0.2.2 # x\ndomain example.com\ndomain\n" +
	"search example.net example.org\nsearch example.gov\noptions one two\noptions three\nsortlist 1.2.3.4\n"

func TestLikeTheReference(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			compare(t, v, "1.0.0")
		})
	}
}

func TestVersionsLikeTheReference(t *testing.T) {
	for _, version := range []string{"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", "1.9.0", "x"} {
		t.Run(version, func(t *testing.T) {
			for _, name := range []string{"two sets", "three sets", "routes", "resolvConf"} {
				v := find(t, name)
				v.calls = []string{"ADD a", "CHECK a", "ADD a", "DEL a", "CHECK a"}
				compare(t, v, version)
			}
		})
	}
}

func find(t *testing.T, name string) variant {
	t.Helper()
	for _, v := range variants {
		if v.name == name {
			return v
		}
	}
	t.Fatal(name)
	return variant{}
}

// compare does the same calls with both, and looks at results and files after each. Errors say other things, but come
// at the same time.
func compare(t *testing.T, v variant, version string) {
	t.Helper()
	ours, theirs := inside(t.TempDir(), New()), reference(t, t.TempDir())
	for _, r := range []runner{ours, theirs} {
		write(t, filepath.Join(r.dir, "resolv.conf"), resolv)
		if err := os.Mkdir(r.network(), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	calls := v.calls
	if calls == nil {
		calls = usual
	}
	for i, text := range calls {
		verb, id, _ := strings.Cut(text, " ")
		c := call{verb: verb, id: id, conf: v.conf(version)}
		if verb == "ADD" {
			c.args = v.args
		}
		want, wantErr := theirs.run(t, c)
		got, gotErr := ours.run(t, c)
		lenient := verb == "DEL" && gotErr == nil // DEL does not look at the ranges
		if (wantErr == nil) != (gotErr == nil) && !lenient {
			t.Fatalf("%d: %s: %v, the reference: %v", i, text, gotErr, wantErr)
		}
		if compact(got) != compact(want) {
			t.Errorf("%d: %s: result\n%s\nthe reference:\n%s", i, text, got, want)
		}
		got, want = withoutLock(files(t, ours.dir)), withoutLock(files(t, theirs.dir))
		if got != want {
			t.Fatalf("%d: %s: files\n%s\nthe reference:\n%s", i, text, got, want)
		}
	}
}

// withoutLock leaves out the lock file, which a refused call need not make, but not its mode when both have it.
func withoutLock(text string) string {
	return strings.Replace(text, "-rwxr-x--- net/lock \"\"\n", "", 1)
}
