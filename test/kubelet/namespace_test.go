// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func testHostNamespaces(t *testing.T, n *node) {
	p := n.run(t, `
hostNetwork: true
hostPID: true
hostIPC: true
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
`)
	p.ready()
	expect(t, "the node's link", p.sh("main", "ip -o link show uplink | wc -l"), "1")
	expect(t, "the kubelet's command", p.sh("main", fmt.Sprintf("cat /proc/%d/comm", n.kubelet.cmd.Process.Pid)), "kubelet")
	for _, kind := range []string{"net", "pid", "ipc"} {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, kind+" namespace", p.sh("main", "readlink /proc/self/ns/"+kind), ours)
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	if p.sh("main", "readlink /proc/self/ns/mnt") == ours {
		t.Error("the container has the node's mount namespace")
	}
}

// processes is a command that lists those with an argument that begins so, but
// for the shell that looks for them.
func processes(argument string) string {
	return fmt.Sprintf("grep -l '[%s]%s' /proc/[0-9]*/cmdline | cut -d/ -f3", argument[:1], argument[1:])
}

// testSharedPID: containers see each other's processes, and none is the first
// one.
func testSharedPID(t *testing.T, n *node) {
	p := n.run(t, `
shareProcessNamespace: true
containers:
- name: one
  image: {{busybox}}
  command: [sleep, 1234d]
- name: two
  image: {{busybox}}
  command: [sh, -c, "exec sleep 4321d"]
`)
	p.ready()
	expect(t, "what one sees of two", p.sh("one", processes("4321d")+" | wc -l"), "1")
	expect(t, "what two sees of one", p.sh("two", processes("1234d")+" | wc -l"), "1")
	if first := p.sh("one", "cat /proc/1/cmdline | tr '\\0' ' '"); strings.Contains(first, "sleep 1234d") || strings.Contains(first, "sleep 4321d") {
		t.Errorf("the first process is %s", first)
	}
	for _, kind := range []string{"pid", "net", "ipc", "uts"} {
		expect(t, kind+" namespace of both", p.sh("one", "readlink /proc/self/ns/"+kind), p.sh("two", "readlink /proc/self/ns/"+kind))
	}
	// An orphan does not stay a zombie.
	p.sh("one", "(sleep 0.1 &)")
	eventually(t, "the orphan is reaped", func() error {
		out, err := p.exec("one", "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || true")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("zombies: %s", out)
		}
		return err
	})
	// Signals reach the other's processes.
	p.sh("one", "kill -9 $("+processes("4321d")+")")
	expect(t, "exit code of what was killed", p.restarted("two").ExitCode, 137)
}

func testUserNamespace(t *testing.T, n *node) {
	p := n.run(t, `
hostUsers: false
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  volumeMounts: [{name: work, mountPath: /work}]
volumes:
- name: work
  emptyDir: {}
`)
	p.ready()
	fields := strings.Fields(p.sh("main", "cat /proc/self/uid_map"))
	if len(fields) != 3 || fields[0] != "0" || fields[1] == "0" {
		t.Errorf("user ids are mapped as %v", fields)
	}
	p.sh("main", "touch /work/file")
	expect(t, "owner of a file in a volume, from inside", p.sh("main", "stat -c %u /work/file"), "0")
	for _, pid := range p.containerPIDs("main") {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if strings.Contains(string(status), "Uid:\t0\t") {
			t.Errorf("on the node, process %d is root's", pid)
		}
	}
}

// networked is a pod with a network and names of its own.
const networked = `
hostname: somebody
hostAliases:
- {ip: 10.1.2.3, hostnames: [friend, friend.example]}
dnsPolicy: None
dnsConfig:
  nameservers: [10.9.8.7]
  searches: [one.test, two.test]
  options: [{name: ndots, value: "3"}]
securityContext:
  sysctls:
  - {name: net.ipv4.ip_unprivileged_port_start, value: "0"}
  - {name: net.core.somaxconn, value: "77"}
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
- name: server
  image: {{busybox}}
  command: [sh, -c, "while :; do echo served | nc -l -p 80; done"]
  ports: [{containerPort: 80, hostPort: 8088}]
`

// testNetwork: addresses, names, sysctls, and a port of the node.
func testNetwork(t *testing.T, n *node) {
	p := n.run(t, networked)
	s := p.ready()
	if !strings.HasPrefix(s.Status.PodIP, "10.88.") {
		t.Errorf("the pod's address is %s", s.Status.PodIP)
	}
	if out := p.sh("main", "ip -o -4 addr show dev eth0"); !strings.Contains(out, s.Status.PodIP+"/16") {
		t.Errorf("the pod's interface has not the pod's address: %s", out)
	}
	expect(t, "loopback", p.sh("main", "ip -o -4 addr show dev lo | grep -c 127.0.0.1/8"), "1")
	expect(t, "the host name", p.sh("main", "hostname"), "somebody")
	hosts := p.sh("main", "cat /etc/hosts")
	for _, want := range []string{"10.1.2.3\tfriend\tfriend.example", s.Status.PodIP + "\tsomebody"} {
		if !strings.Contains(hosts, want) {
			t.Errorf("/etc/hosts has no %q:\n%s", want, hosts)
		}
	}
	expect(t, "/etc/resolv.conf", p.sh("main", "cat /etc/resolv.conf"), "search one.test two.test\nnameserver 10.9.8.7\noptions ndots:3")
	expect(t, "sysctls", p.sh("main", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/core/somaxconn | xargs"), "0 77")
	for _, address := range []string{s.Status.PodIP + ":80", nodeIP + ":8088"} {
		eventually(t, address+" is served", func() error { return served(address) })
	}
	eventually(t, "containers reach each other on loopback", func() error {
		_, err := p.exec("main", "nc", "-w", "2", "127.0.0.1", "80")
		return err
	})
}

func served(address string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "served\n" {
		err = fmt.Errorf("%q", line)
	}
	return err
}
