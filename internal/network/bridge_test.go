// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin/builtin"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

// realPlugins are the reference plugins' directory, built when nobody has yet.
var realPlugins = sync.OnceValues(func() (string, error) {
	built, err := filepath.Abs("../../bin/tools")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(built, "bridge")); err == nil {
		return built, nil
	}
	dir, err := os.MkdirTemp("", "cni-plugins-*")
	if err != nil {
		return "", err
	}
	const module = "github.com/containernetworking/plugins/plugins/"
	cmd := exec.Command("go", "build", "-C", "../../bench/tools", "-o", dir,
		module+"main/bridge", module+"ipam/host-local", module+"meta/portmap", module+"meta/bandwidth", module+"meta/firewall",
		module+"meta/tuning", module+"main/ptp", module+"main/loopback")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("%w: %s", err, out), os.RemoveAll(dir))
	}
	return dir, nil
})

// eachWay runs a test with plugins inside the daemon, and with the reference's programs.
func eachWay(t *testing.T, test func(t *testing.T, way func(*network.Config))) {
	t.Helper()
	testnode.NeedRoot(t)
	t.Run("programs", func(t *testing.T) { test(t, func(*network.Config) {}) })
	t.Run("inside", func(t *testing.T) { test(t, builtIn(t)) })
}

// builtIn has the plugins run inside the daemon. They are closed before somebody looks at what is left.
func builtIn(t testing.TB) func(*network.Config) {
	return func(c *network.Config) {
		t.Helper()
		plugins, err := builtin.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := plugins.Close(); err != nil {
				t.Error(err)
			}
		})
		c.Plugins = plugins.Set
	}
}

// newBridge is a node with the reference plugins: a bridge with addresses of host-local, and ports.
func newBridge(t testing.TB, bridge string, adjust ...func(*network.Config)) *node {
	t.Helper()
	testnode.NeedRoot(t)
	plugins, err := realPlugins()
	if err != nil {
		t.Fatal(err)
	}
	n := prepare(t, append(adjust, func(c *network.Config) { c.BinDirs = append(c.BinDirs, plugins) })...)
	ownHost(t)
	n.start()
	t.Cleanup(func() {
		n.Close()
		exec.Command("ip", "link", "delete", "brtest").Run() // not every test makes it
	})
	n.write("10-bridge.conflist", fmt.Sprintf(`{"cniVersion":"1.1.0","name":"bridged","plugins":[
		{"type":"bridge","bridge":"brtest","isGateway":true%s,"hairpinMode":true,"capabilities":{"ipRanges":true},
		 "ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"10.77.0.0/16"}],[{"subnet":"fd77::/64"}]],
		  "routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},
		{"type":"portmap","capabilities":{"portMappings":true},"snat":true}]}`, bridge, n.dir+"/addresses"))
	return n
}

// ownHost ends a test that would change the interfaces of the machine.
func ownHost(t testing.TB) {
	t.Helper()
	if !testnode.InOwnNetwork() {
		t.Fatal("these are the machine's own interfaces")
	}
}

// addresses lists what host-local has given away.
func (n *node) addresses() []string {
	n.t.Helper()
	var taken []string
	for _, name := range names(n.t, n.dir+"/addresses/bridged") {
		if net.ParseIP(strings.ReplaceAll(name, "_", ":")) != nil {
			taken = append(taken, name)
		}
	}
	return taken
}

// rules lists what is in the packet filter for single pods.
func (n *node) rules() string {
	n.t.Helper()
	var found []string
	var table string
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		for line := range strings.Lines(testnode.Run(n.t, save)) {
			if podRule.MatchString(line) {
				found = append(found, line)
			}
		}
	}
	for line := range strings.Lines(testnode.Run(n.t, "nft", "list", "ruleset")) {
		if filterTable.MatchString(line) {
			table = line
		}
		if ownTable.MatchString(table) && strings.Contains(line, ` comment "`) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// filterTable begins a table of nftables, and ownTable one of the plugins' backend of that name: each rule with a comment there is
// a pod's.
var filterTable, ownTable = regexp.MustCompile(`^table `), regexp.MustCompile(`^table \w+ cni_`)

// podRule is a chain named by a hash, as the plugins make for each pod, or a rule that names its pod.
var podRule = regexp.MustCompile(`CNI-(DN|SN)?-?[0-9a-f]{16}|id: `)

// links of the host's that are a pod's other end.
func (n *node) links() int {
	n.t.Helper()
	return strings.Count(testnode.Run(n.t, "ip", "-o", "link", "show", "type", "veth"), "\n")
}

// serve answers with a word on a port inside the namespace until the test ends.
func (ns *namespace) serve(t testing.TB, address, word string) {
	t.Helper()
	ns.answer(t, address, func(net.Addr) string { return word })
}

// answer has each connection to an address inside get what say has for its client.
func (ns *namespace) answer(t testing.TB, address string, say func(client net.Addr) string) {
	t.Helper()
	var l net.Listener
	ns.enter(t, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, say(c.RemoteAddr())+"\n")
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

// hear connects and returns the word, or the error.
func hear(address string) string {
	c, err := net.DialTimeout("tcp", address, testnode.Patience)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testnode.Patience))
	word, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(word)
}

func TestBridge(t *testing.T) { eachWay(t, bridges) }

func bridges(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, `,"ipMasq":true`, way)
	n.must(n.Ready())
	spaces := map[string]*namespace{}
	results := map[string]*network.Result{}
	for _, id := range []string{"one", "two"} {
		spaces[id] = newNamespace(t)
		a := &network.Attachment{ID: id, Name: id, Namespace: "shop", NetNS: spaces[id].path()}
		if id == "one" {
			a.PortMappings = []network.PortMapping{{Protocol: "TCP", ContainerPort: 80, HostPort: 8080}}
		}
		r, err := n.Setup(context.Background(), a)
		n.must(err)
		if net.ParseIP(r.IP).To4() == nil || len(r.AdditionalIPs) != 1 || net.ParseIP(r.AdditionalIPs[0]).To4() != nil {
			t.Errorf("addresses %s, %v", r.IP, r.AdditionalIPs)
		}
		results[id] = r
		n.must(n.Check(context.Background(), id, a.NetNS))
	}
	spaces["one"].serve(t, ":80", "fish")
	one := results["one"]
	spaces["two"].enter(t, func() error {
		for _, ip := range []string{one.IP, one.AdditionalIPs[0]} {
			if got := hear(net.JoinHostPort(ip, "80")); got != "fish" {
				t.Errorf("from pod to pod by %s: %s", ip, got)
			}
		}
		if got := hear("10.77.0.1:8080"); got != "fish" {
			t.Errorf("from pod to the host's port: %s", got)
		}
		return nil
	})
	if got := hear(one.IP + ":80"); got != "fish" {
		t.Errorf("from the host: %s", got)
	}
	if got := hear("127.0.0.1:8080"); got != "fish" {
		t.Errorf("by the host's port: %s", got)
	}
	if n.rules() == "" || len(n.addresses()) != 4 || n.links() != 2 {
		t.Errorf("rules %q, addresses %v, %d links: this test would not see a leak", n.rules(), n.addresses(), n.links())
	}
	for id, ns := range spaces {
		n.must(n.Teardown(context.Background(), id, ns.path()))
	}
	if rules := n.rules(); rules != "" {
		t.Errorf("rules are left:\n%s", rules)
	}
	if left := n.addresses(); len(left) != 0 {
		t.Errorf("addresses are left: %v", left)
	}
	testnode.Eventually(t, "the links are gone", func() bool { return n.links() == 0 })
	n.nothingLeft()
}

// A namespace that is gone takes its interfaces with it; addresses and ports are released all the same.
func TestBridgeWithoutNamespace(t *testing.T) { eachWay(t, detachesWithoutNamespace) }

func detachesWithoutNamespace(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, "", way)
	ns := newNamespace(t)
	a := &network.Attachment{ID: "one", Name: "one", Namespace: "shop", NetNS: ns.path(),
		PortMappings: []network.PortMapping{{Protocol: "TCP", ContainerPort: 80, HostPort: 8080}}}
	_, err := n.Setup(context.Background(), a)
	n.must(err)
	ns.close()
	if n.rules() == "" {
		t.Error("there are no rules: this test would not see a leak")
	}
	n.must(n.Teardown(context.Background(), "one", ""))
	if left := n.addresses(); len(left) != 0 {
		t.Errorf("addresses are left: %v", left)
	}
	if rules := n.rules(); rules != "" {
		t.Errorf("rules are left:\n%s", rules)
	}
	testnode.Eventually(t, "the links are gone", func() bool { return n.links() == 0 })
}

// The chain fails at its second plugin: what the first did is undone.
func TestBridgeChainIsUndone(t *testing.T) { eachWay(t, undoesChain) }

func undoesChain(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, `,"ipMasq":true`, way)
	path := filepath.Join(n.config.ConfDir, "10-bridge.conflist")
	text, err := os.ReadFile(path)
	n.must(err)
	n.write("10-bridge.conflist", strings.Replace(string(text), `{"type":"portmap"`, fmt.Sprintf(`{"type":"fake","control":%q},{"type":"portmap"`, n.control), 1))
	n.behave("ADD", "fail 999 not today")
	ns := newNamespace(t)
	_, err = n.Setup(context.Background(), &network.Attachment{ID: "one", Name: "one", Namespace: "shop", NetNS: ns.path()})
	if err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("setup: %v", err)
	}
	if left := n.addresses(); len(left) != 0 || n.rules() != "" || n.links() != 0 {
		t.Errorf("left: addresses %v, rules %s, %d links", left, n.rules(), n.links())
	}
	n.nothingLeft()
}

func TestBridgeManyAtOnce(t *testing.T) { eachWay(t, attachesMany) }

func attachesMany(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, "", way)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := map[string]string{}
	for i := range 20 {
		id := fmt.Sprintf("pod%d", i)
		ns := newNamespace(t)
		wg.Go(func() {
			r, err := n.Setup(context.Background(), &network.Attachment{ID: id, Name: id, Namespace: "shop", NetNS: ns.path()})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other := taken[r.IP]; other != "" {
				t.Errorf("%s and %s both have %s", id, other, r.IP)
			}
			taken[r.IP] = id
		})
	}
	wg.Wait()
	n.must(n.Close())
	n.must(os.RemoveAll(n.config.StateDir)) // a reboot that the addresses, on a disk, survive
	n.start()
	n.Keep(context.Background(), nil)
	n.nothingLeft()
	if left := n.addresses(); len(left) != 0 {
		t.Errorf("addresses are left: %v", left)
	}
}

// A chain of other plugins that runtimes commonly run, with a limit on bandwidth.
func TestPointToPointChain(t *testing.T) { eachWay(t, chainsPointToPoint) }

func chainsPointToPoint(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, "", way)
	n.write("05-ptp.conflist", fmt.Sprintf(`{"cniVersion":"1.0.0","name":"bridged","plugins":[
		{"type":"ptp","ipam":{"type":"host-local","dataDir":%q,"subnet":"10.78.0.0/16","routes":[{"dst":"0.0.0.0/0"}]}},
		{"type":"bandwidth","capabilities":{"bandwidth":true}},
		{"type":"firewall"},
		{"type":"tuning","sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1"}}]}`, n.dir+"/addresses"))
	ns := newNamespace(t)
	a := &network.Attachment{ID: "one", Name: "one", Namespace: "shop", NetNS: ns.path(),
		Annotations: map[string]string{"kubernetes.io/egress-bandwidth": "10M", "kubernetes.io/ingress-bandwidth": "20M"}}
	r, err := n.Setup(context.Background(), a)
	n.must(err)
	ns.serve(t, ":80", "fish")
	if got := hear(r.IP + ":80"); got != "fish" {
		t.Errorf("from the host: %s", got)
	}
	if limits := testnode.Run(t, "tc", "qdisc"); !strings.Contains(limits, "rate 10Mbit") || !strings.Contains(limits, "rate 20Mbit") {
		t.Errorf("limits: %s", limits)
	}
	if rules := testnode.Run(t, "iptables-save"); !strings.Contains(rules, r.IP) {
		t.Error("there are no rules: this test would not see a leak")
	}
	n.must(n.Check(context.Background(), "one", a.NetNS))
	n.must(n.Teardown(context.Background(), "one", a.NetNS))
	if left := n.addresses(); len(left) != 0 {
		t.Errorf("addresses are left: %v", left)
	}
	if rules := testnode.Run(t, "iptables-save"); strings.Contains(rules, r.IP) {
		t.Errorf("rules are left: %s", rules)
	}
	testnode.Eventually(t, "the limits are gone with the link", func() bool { return !strings.Contains(testnode.Run(t, "tc", "qdisc"), "rate") })
	n.nothingLeft()
}
