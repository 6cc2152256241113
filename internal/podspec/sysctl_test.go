// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"reflect"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestSysctls(t *testing.T) {
	node, userns := runtime.NamespaceMode_NODE, &runtime.UserNamespace{}
	type m = map[string]string
	for _, test := range []struct {
		name        string
		ports, icmp bool
		options     *runtime.NamespaceOption
		given, want m
		wrong       string
	}{
		{name: "none", want: m{}},
		{name: "both notations", given: m{"net.ipv4.conf.eth0/1.forwarding": "1", "net/ipv4/ip_forward": "1", "kernel.shm_rmid_forced": "1", "kernel.sem": "1 2 3 4", "fs.mqueue.msg_max": "5", "kernel.domainname": "d"},
			want: m{"net/ipv4/conf/eth0.1/forwarding": "1", "net/ipv4/ip_forward": "1", "kernel/shm_rmid_forced": "1", "kernel/sem": "1 2 3 4", "fs/mqueue/msg_max": "5", "kernel/domainname": "d"}},
		{name: "unprivileged", ports: true, icmp: true, want: m{"net/ipv4/ip_unprivileged_port_start": "0", "net/ipv4/ping_group_range": "0 2147483647"}},
		{name: "unprivileged, as the pod says", ports: true, icmp: true, given: m{"net.ipv4.ip_unprivileged_port_start": "5", "net/ipv4/ping_group_range": "1 1"},
			want: m{"net/ipv4/ip_unprivileged_port_start": "5", "net/ipv4/ping_group_range": "1 1"}},
		{name: "unprivileged in a user namespace", ports: true, icmp: true, options: &runtime.NamespaceOption{UsernsOptions: userns}, want: m{"net/ipv4/ip_unprivileged_port_start": "0"}},
		{name: "unprivileged in the host's network", ports: true, icmp: true, options: &runtime.NamespaceOption{Network: node}, want: m{}},
		{name: "ipc in the host's network", options: &runtime.NamespaceOption{Network: node}, given: m{"kernel.msgmax": "1"}, want: m{"kernel/msgmax": "1"}},
		{name: "network in the host's", options: &runtime.NamespaceOption{Network: node}, given: m{"net.core.somaxconn": "1"}, wrong: "node's network namespace"},
		{name: "domain name in the host's network", options: &runtime.NamespaceOption{Network: node}, given: m{"kernel.domainname": "d"}, wrong: "node's UTS namespace"},
		{name: "ipc in the host's", options: &runtime.NamespaceOption{Ipc: node}, given: m{"fs.mqueue.msg_max": "1"}, wrong: "node's IPC namespace"},
		{name: "of the node", given: m{"vm.swappiness": "1"}, wrong: "not in a separate kernel namespace"},
		{name: "near to ipc", given: m{"kernel.shm_next_id": "1"}, wrong: "not in a separate kernel namespace"},
		{name: "hostname", given: m{"kernel.hostname": "x"}, wrong: "conflicts with the field hostname"},
		{name: "out of the tree", given: m{"net/../vm/swappiness": "1"}, wrong: "is not the name"},
		{name: "out of the tree with dots", given: m{"net.//.vm": "1"}, wrong: "is not the name"},
		{name: "empty", given: m{"": "1"}, wrong: "is not the name"},
		{name: "lines", given: m{"net.core.somaxconn": "1\n2"}, wrong: "control character"},
		{name: "twice", given: m{"net.core.somaxconn": "1", "net/core/somaxconn": "2"}, wrong: "two notations"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := testNode()
			n.EnableUnprivilegedPorts, n.EnableUnprivilegedICMP = test.ports, test.icmp
			cfg := pod(func(c *runtime.PodSandboxConfig) {
				c.Linux.Sysctls, c.Linux.SecurityContext.NamespaceOptions = test.given, test.options
			})
			got, err := newTranslator(t, n).Sysctls(cfg)
			if test.wrong != "" {
				refused(t, err, test.wrong)
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}
