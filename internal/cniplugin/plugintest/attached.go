// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Attached is a host with two pods, after ADD of both.
type Attached struct {
	Host    *netif.Namespace
	Pods    []*netif.Namespace
	results []seen
}

// Alike fails for each part of what both have done that differs. It waits for what the kernel does by and by, addresses that are tentative for example.
func Alike(t testing.TB, reference, ours Attached) {
	t.Helper()
	for deadline := time.Now().Add(testnode.Patience); ; time.Sleep(50 * time.Millisecond) {
		differences := compare(reference.look(t), ours.look(t))
		if len(differences) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Error(strings.Join(differences, "\n"))
			return
		}
	}
}

func compare(reference, ours []seen) (differences []string) {
	missing := func(from, in string) string {
		b := strings.Split(in, "\n")
		return strings.Join(slices.DeleteFunc(strings.Split(from, "\n"), func(s string) bool { return slices.Contains(b, s) }), "\n")
	}
	for i, r := range reference {
		if o := ours[i]; r.text != o.text {
			differences = append(differences, r.what+" differs\n--- reference:\n"+missing(r.text, o.text)+"\n--- ours:\n"+missing(o.text, r.text))
		}
	}
	return differences
}

// AttachTwo makes two pods and calls add for each, with its container id.
func AttachTwo(t testing.TB, host *netif.Namespace, add func(Pair, string) (string, error)) Attached {
	t.Helper()
	a := Attached{Host: host}
	for _, id := range []string{"pod1", "pod2"} {
		pair := Pair{Host: host, Pod: NewNamespace(t)}
		a.Pods = append(a.Pods, pair.Pod)
		result, err := add(pair, id)
		if err != nil {
			result = err.Error()
		}
		a.results = append(a.results, seen{id + " result", normal(result)})
	}
	return a
}

func (a Attached) look(t testing.TB) []seen {
	t.Helper()
	all := slices.Clone(a.results)
	for i, pod := range a.Pods {
		all = append(all, look(t, fmt.Sprint("pod", i), pod)...)
	}
	return append(all, look(t, "host", a.Host)...)
}

// look shows a namespace.
func look(t testing.TB, who string, ns *netif.Namespace) []seen {
	t.Helper()
	var all []seen
	for _, args := range []string{"-j -d link show", "-j addr show", "-j route show table all", "-j -6 route show table all"} {
		all = append(all, seen{who + " ip " + args, normal(Run(t, ns, "ip", strings.Fields(args)...))})
	}
	all = append(all, seen{who + " vlan", normal(Run(t, ns, "bridge", "-j", "vlan", "show"))})
	return append(all, seen{who + " sysctl", normal(Run(t, ns, "sh", "-c",
		"cd /proc/sys/net; grep -H . ipv4/ip_forward ipv6/conf/*/{accept_ra,accept_dad,enhanced_dad,keep_addr_on_down,disable_ipv6,forwarding} ipv4/conf/*/arp_notify 2>/dev/null; "+
			"for i in accept_ra accept_dad enhanced_dad keep_addr_on_down disable_ipv6 forwarding; do grep -H . ipv6/conf/*/$i; done"))})
}

// seen is a part of what a plugin has done.
type seen struct{ what, text string }

var changing = []struct{ pattern, by string }{
	{`([0-9a-f]{2}:){5}[0-9a-f]{2}`, "MAC"},
	{`veth[0-9a-f]{8}`, "VETH"},
	{`/proc/\d+/fd/\d+`, "NETNS"},
	{`LOWERLAYERDOWN`, "DOWN"}, // which of both is chance
	{`fe80::[0-9a-f:]+`, "LINKLOCAL"},
	{`"(root_id|bridge_id|root_port|age|gc_timer|tcn_timer|hello_timer|topology_change_timer|preferred_life_time|valid_life_time|designated_root|designated_bridge|link_netnsid|no|port|id|designated_port|ifindex|link_index|topology_change_detected|topology_change|cost|state|timer|message_age_timer|forward_delay_timer|hold_timer)":("[^"]*"|[0-9.]+|true|false|null),?`, ""},
}

// normal takes out what differs from one time to the next, and the order where it means nothing.
func normal(text string) string {
	for _, c := range changing {
		text = regexp.MustCompile(c.pattern).ReplaceAllString(text, c.by)
	}
	text = strings.NewReplacer(",}", "}", ",]", "]").Replace(text)
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) == nil {
		one, _ := json.MarshalIndent(object, "", " ")
		return string(one)
	}
	var list []any
	if json.Unmarshal([]byte(text), &list) != nil {
		lines := strings.Split(text, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	var items []string
	for _, item := range list {
		one, _ := json.Marshal(item)
		items = append(items, string(one))
	}
	slices.Sort(items)
	return strings.Join(items, "\n")
}
