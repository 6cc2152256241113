// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestSetupAndTeardown(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, r := n.setup("abc")
	if r.IP != "10.1.0.2" || len(r.AdditionalIPs) != 0 {
		t.Errorf("addresses %q, %q", r.IP, r.AdditionalIPs)
	}
	want := []network.Interface{{Name: "eth0", MAC: "02:00:00:00:00:01", Sandbox: a.NetNS, Addresses: []string{"10.1.0.2/16"}}}
	if !reflect.DeepEqual(r.Interfaces, want) {
		t.Errorf("interfaces %+v, expected %+v", r.Interfaces, want)
	}
	var raw struct {
		Interfaces map[string]struct {
			IPConfigs []struct{ IP, Gateway string }
			Sandbox   string
		}
	}
	if err := json.Unmarshal(r.Raw, &raw); err != nil || raw.Interfaces["eth0"].IPConfigs[0].IP != "10.1.0.2" {
		t.Errorf("raw result %s: %v", r.Raw, err)
	}
	add := n.only("ADD")
	if add.ID != "abc" || add.NetNS != a.NetNS || add.Interface != "eth0" {
		t.Errorf("ADD got %+v", add)
	}
	if want := "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=1234"; add.Args != want {
		t.Errorf("CNI_ARGS %q, expected %q", add.Args, want)
	}
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if del := n.only("DEL"); del.NetNS != a.NetNS || del.Args != add.Args || del.config(t)["prevResult"] == nil {
		t.Errorf("DEL got %+v %s", del, del.Config)
	}
	n.nothingLeft()
	n.must(n.Teardown(context.Background(), "abc", ""))
	if m := n.Metrics(); m.Setup.Count != 1 || m.Teardown.Count != 2 || m.Setup.Errors+m.Teardown.Errors != 0 || m.Setup.Time <= 0 {
		t.Errorf("metrics %+v", m)
	}
}

func TestLoopbackIsUp(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a := n.attachment("abc")
	ns := newNamespace(t)
	a.NetNS = ns.path()
	_, err := n.Setup(context.Background(), a)
	n.must(err)
	ns.enter(t, func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		c, err := net.DialTimeout("tcp", l.Addr().String(), testnode.Patience)
		if err != nil {
			return err
		}
		return c.Close()
	})
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
}

func TestCapabilities(t *testing.T) {
	n := newNode(t)
	n.must(n.SetPodCIDR("10.9.0.0/24, fd00:9::/64"))
	n.write("10-a.conflist", n.list("1.0.0", "blue", `,"capabilities":{"portMappings":true,"bandwidth":true,"dns":true,
		"ipRanges":true,"cgroupPath":true,"io.kubernetes.cri.pod-annotations":true,"mac":true,"aliases":false}`))
	a := n.attachment("abc")
	a.PortMappings = []network.PortMapping{
		{Protocol: "TCP", ContainerPort: 80, HostPort: 8080, HostIP: "127.0.0.1"},
		{Protocol: "udp", ContainerPort: 53, HostPort: 53},
		{Protocol: "tcp", ContainerPort: 81},
	}
	a.Annotations = map[string]string{"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1P"}
	a.DNS = network.DNS{Servers: []string{"10.0.0.10"}, Searches: []string{"svc"}, Options: []string{"ndots:5"}}
	a.CgroupParent = "/kubepods/pod1"
	_, err := n.Setup(context.Background(), a)
	n.must(err)
	n.restart() // DEL gets the same from the record
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	const want = `{"bandwidth":{"ingressRate":10000000,"ingressBurst":4294967295,"egressRate":1000000000000000,"egressBurst":4294967295},
		"cgroupPath":"/kubepods/pod1","dns":{"servers":["10.0.0.10"],"searches":["svc"],"options":["ndots:5"]},
		"io.kubernetes.cri.pod-annotations":{"kubernetes.io/ingress-bandwidth":"10M","kubernetes.io/egress-bandwidth":"1P"},
		"ipRanges":[[{"subnet":"10.9.0.0/24"}],[{"subnet":"fd00:9::/64"}]],
		"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"},
			{"hostPort":53,"containerPort":53,"protocol":"udp"}]}`
	for _, command := range []string{"ADD", "DEL"} {
		got := n.only(command)
		if !equalJSON(t, got.config(t)["runtimeConfig"], want) {
			t.Errorf("%s: capabilities %s", command, got.Config)
		}
	}
}

func equalJSON(t *testing.T, got any, want string) bool {
	t.Helper()
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(got, w)
}

func TestBadAttachments(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	for name, spoil := range map[string]func(*network.Attachment){
		"no id":             func(a *network.Attachment) { a.ID = "" },
		"id with a slash":   func(a *network.Attachment) { a.ID = "../x" },
		"no namespace":      func(a *network.Attachment) { a.NetNS = "" },
		"argument injected": func(a *network.Attachment) { a.Name = "x;K8S_POD_NAMESPACE=kube-system" },
		"bandwidth no size": func(a *network.Attachment) {
			a.Annotations = map[string]string{"kubernetes.io/ingress-bandwidth": "much"}
		},
		"bandwidth too small": func(a *network.Attachment) {
			a.Annotations = map[string]string{"kubernetes.io/egress-bandwidth": "10"}
		},
	} {
		a := n.attachment("abc")
		spoil(a)
		if _, err := n.Setup(context.Background(), a); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := n.attachment("abc")
	a.NetNS = n.dir + "/missing"
	if _, err := n.Setup(context.Background(), a); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("missing namespace: %v", err)
	}
	if calls := n.calls(""); len(calls) != 0 || len(n.records()) != 0 {
		t.Errorf("plugins were called: %v, records %v", calls, n.records())
	}
	if err := n.Teardown(context.Background(), "../x", ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("teardown of a hostile id: %v", err)
	}
}

func TestSetupTwiceIsRefused(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	if _, err := n.Setup(context.Background(), a); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second setup: %v", err)
	}
	if got := n.calls("DEL"); len(got) != 0 {
		t.Errorf("the second setup detached the first: %v", got)
	}
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
}

func TestPreferredAddress(t *testing.T) {
	addresses := `["fd00::2/64","10.1.0.2/16","10.1.0.3/16"]`
	for preference, want := range map[string][]string{
		"":        {"10.1.0.2", "fd00::2", "10.1.0.3"},
		"ipv4":    {"10.1.0.2", "fd00::2", "10.1.0.3"},
		"ipv6":    {"fd00::2", "10.1.0.2", "10.1.0.3"},
		"cni":     {"fd00::2", "10.1.0.2", "10.1.0.3"},
		"carrier": {"10.1.0.2", "fd00::2", "10.1.0.3"},
	} {
		t.Run(preference, func(t *testing.T) {
			n := newNode(t, func(c *network.Config) { c.IPPref = preference })
			n.write("10-a.conflist", strings.Replace(n.list("1.0.0", "blue", ""), `["10.1.0.2/16"]`, addresses, 1))
			a, r := n.setup("abc")
			if got := append([]string{r.IP}, r.AdditionalIPs...); !slices.Equal(got, want) {
				t.Errorf("addresses %q, expected %q", got, want)
			}
			n.must(n.Teardown(context.Background(), "abc", a.NetNS))
		})
	}
}

func TestNoAddressIsAnError(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", strings.Replace(n.list("1.0.0", "blue", ""), `["10.1.0.2/16"]`, `[]`, 1))
	_, err := n.Setup(context.Background(), n.attachment("abc"))
	if err == nil || !strings.Contains(err.Error(), "eth0 no address") {
		t.Errorf("setup: %v", err)
	}
	n.only("DEL")
	n.nothingLeft()
}

func TestFailedAddIsUndone(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.behave("ADD", "fail 11 the address server is away")
	a := n.attachment("abc")
	_, err := n.Setup(context.Background(), a)
	if !errdefs.IsUnavailable(err) {
		t.Errorf("class of %v", err)
	}
	for _, part := range []string{"shop/web", "abc", "blue", "fake", "the address server is away"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if del := n.only("DEL"); del.NetNS != a.NetNS {
		t.Errorf("DEL got %+v", del)
	}
	n.nothingLeft()
}

func TestPluginErrors(t *testing.T) {
	for name, c := range map[string]struct{ what, message string }{
		"on standard error": {"stderr iptables is missing", "exit status 3: iptables is missing"},
		"not JSON":          {"print hello", "hello"},
		"too much":          {"flood", "more than"},
		"null":              {"print null", "no address"},
		"bad interface":     {`print {"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/8","interface":7}]}`, "interface 7"},
		"null address":      {`print {"cniVersion":"0.4.0","ips":[null]}`, "null"},
		"null interface":    {`print {"cniVersion":"1.0.0","interfaces":[null],"ips":[{"address":"10.0.0.1/8"}]}`, "null"},
		"empty address":     {`print {"cniVersion":"1.0.0","ips":[{}]}`, "address"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
			n.behave("ADD", c.what)
			_, err := n.Setup(context.Background(), n.attachment("abc"))
			if err == nil || (c.message != "hello" && !strings.Contains(err.Error(), c.message)) {
				t.Errorf("error %v, expected %q", err, c.message)
			}
			n.nothingLeft()
		})
	}
}

func TestHangingPluginIsKilledWithItsChildren(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.behave("ADD", "fork")
	a := n.attachment("abc")
	began := time.Now()
	_, err := n.Setup(cancelWhen(n.forked), a)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("setup: %v", err)
	}
	if took := time.Since(began); took > testnode.Patience { // the plugin would end after ten minutes
		t.Errorf("setup took %v", took)
	}
	if running(n.only("ADD").Pid) {
		t.Error("the plugin still runs")
	}
	testnode.Eventually(t, "the plugin's child is gone", func() bool { return !running(n.child()) })
	n.only("DEL")
	n.nothingLeft()
}

func TestDescendantThatKeepsTheOutputOpen(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.behave("DEL", "leave")
	a, _ := n.setup("abc")
	began := time.Now()
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if took := time.Since(began); took > testnode.Patience { // the descendant would end after ten minutes
		t.Errorf("teardown took %v", took)
	}
	n.must(unix.Kill(n.child(), unix.SIGKILL))
}

func TestSeveralNetworks(t *testing.T) {
	for _, serially := range []bool{false, true} {
		n := newNode(t, func(c *network.Config) { c.MaxConfNum, c.SetupSerially = 0, serially })
		n.write("20-b.conflist", strings.Replace(n.list("1.0.0", "green", ""), "10.1.0.2/16", "10.2.0.2/16", 1))
		n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
		a, r := n.setup("abc")
		if r.IP != "10.1.0.2" || len(r.AdditionalIPs) != 0 || len(r.Interfaces) != 2 {
			t.Errorf("result %+v", r)
		}
		n.must(n.Teardown(context.Background(), "abc", a.NetNS))
		var order []string
		for _, c := range n.calls("DEL") {
			order = append(order, c.Interface)
		}
		if !slices.Equal(order, []string{"eth1", "eth0"}) {
			t.Errorf("DEL in order %v", order)
		}
		n.nothingLeft()
	}
}

func TestHandlerWithItsOwnNetworks(t *testing.T) {
	var own string
	n := newNode(t, func(c *network.Config) {
		own = c.StateDir + "-gvisor.d"
		c.Handlers = map[string]network.Handler{"gvisor": {ConfDir: own}, "plain": {}}
	})
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	standard := n.config.ConfDir
	n.config.ConfDir = own
	n.write("10-a.conflist", n.list("1.0.0", "green", ""))
	n.config.ConfDir = standard
	for handler, want := range map[string]string{"": "blue", "plain": "blue", "other": "blue", "gvisor": "green"} {
		a := n.attachment("id-" + handler + "x")
		a.Handler = handler
		_, err := n.Setup(context.Background(), a)
		n.must(err)
		calls := n.calls("ADD")
		if got := calls[len(calls)-1].config(t)["name"]; got != want {
			t.Errorf("handler %q is attached to %v, expected %s", handler, got, want)
		}
		n.must(n.Teardown(context.Background(), a.ID, a.NetNS))
	}
}
