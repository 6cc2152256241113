// SPDX-License-Identifier: Apache-2.0

package netcheck_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/netcheck"
	"github.com/sardine-run/sardine/internal/nsstore"
	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/internal/throwaway"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }

// node is a daemon whose host is the tests' own network namespace.
type node struct {
	*throwaway.Daemon
	runtime cri.RuntimeServiceClient
	options netcheck.Options
	leases  string
	t       *testing.T
}

const conf = `{"cniVersion": "1.1.0", "name": "pods", "plugins": [
	{"type": "bridge", "bridge": "cnicheck", "isGateway": true, "ipMasq": true, "ipMasqBackend": "nftables",
	 "ipam": {"type": "host-local", "dataDir": "DIR", "ranges": [[{"subnet": "10.77.0.0/16"}], [{"subnet": "fd77::/64"}]]}},
	{"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}}]}`

func start(t *testing.T) *node {
	t.Helper()
	testnode.NeedRoot(t)
	if !testnode.InOwnNetwork() {
		t.Fatal("these are the machine's own interfaces")
	}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("SARDINE_BIN"); dir != "" {
		bin = dir
	}
	for _, program := range []string{bin + "/sardined", bin + "/sardine-init"} {
		if _, err := os.Stat(program); err != nil {
			testnode.Unavailable(t, "run make: "+err.Error())
		}
	}
	plugins, _ := filepath.Abs("../../bin/tools")
	n := &node{t: t, leases: filepath.Join(t.TempDir(), "leases")}
	networks := t.TempDir()
	if err := os.WriteFile(networks+"/10-pods.conflist", []byte(strings.ReplaceAll(conf, "DIR", n.leases)), 0o600); err != nil {
		t.Fatal(err)
	}
	if n.Daemon, err = throwaway.StartCRI(t.Context(), bin+"/sardined", bin, throwaway.CRI{Plugins: plugins, Network: networks}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() }) // a second time, when the test did it
	n.connect()
	n.options = netcheck.Options{Address: n.Socket, State: n.Dir + "/run/state", Root: n.Dir + "/root", ConfDir: networks,
		OtherCaches: []string{t.TempDir()}, Pause: 50 * time.Millisecond}
	return n
}

func (n *node) connect() {
	conn, err := grpc.NewClient("unix://"+n.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	n.runtime = cri.NewRuntimeServiceClient(conn)
}

func (n *node) pod(name string, port int32) string {
	n.t.Helper()
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name}, Hostname: name,
		LogDirectory: n.t.TempDir(), Linux: &cri.LinuxPodSandboxConfig{},
		PortMappings: []*cri.PortMapping{{HostPort: port, ContainerPort: 80}},
	}
	if port == 0 {
		config.PortMappings, config.Hostname = nil, ""
		config.Linux.SecurityContext = &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}}
	}
	made, err := n.runtime.RunPodSandbox(n.t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		n.t.Fatal(err, n.LogTail(3))
	}
	n.t.Cleanup(func() { n.remove(made.PodSandboxId) })
	return made.PodSandboxId
}

func (n *node) remove(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := n.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		n.t.Errorf("remove pod: %v", err)
	}
}

func (n *node) check() *netcheck.Report {
	n.t.Helper()
	report, err := netcheck.Check(n.t.Context(), n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	return report
}

func run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestList(t *testing.T) {
	n := start(t)
	id, host := n.pod("web", 8080), n.pod("host", 0)
	pods, err := netcheck.List(t.Context(), n.options)
	if err != nil || len(pods) != 2 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	if pods[0].ID != host || !pods[0].HostNetwork || len(pods[0].Interfaces) != 0 {
		t.Errorf("the pod of the host's network is %+v", pods[0])
	}
	web := pods[1]
	if web.ID != id || web.Name != "web" || web.Namespace != "default" || web.State != "ready" || web.HostNetwork || web.NetNS == "" {
		t.Errorf("the pod is %+v", web)
	}
	if len(web.Ports) != 1 || web.Ports[0].String() != "8080->80/tcp" {
		t.Errorf("ports %v", web.Ports)
	}
	if len(web.Interfaces) != 1 {
		t.Fatalf("interfaces %+v", web.Interfaces)
	}
	eth := web.Interfaces[0]
	if eth.Name != "eth0" || eth.Network != "pods" || len(eth.MAC) != 17 || len(eth.Addresses) != 2 || !strings.HasPrefix(eth.Addresses[0], "10.77.0.") || len(eth.Host) != 2 {
		t.Errorf("interface %+v", eth)
	}
	var table bytes.Buffer
	if err := netcheck.WriteTable(&table, pods); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ADDRESSES", "(host)", eth.Addresses[0], "8080->80/tcp", id[:12]} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

// leak makes one of everything that a pod may leave, and returns the pod's id.
func (n *node) leak(digit string) string {
	t, id := n.t, strings.Repeat(digit, 64)
	lease := filepath.Join(n.leases, "pods", "10.77.200."+digit)
	if err := os.WriteFile(lease, []byte(id+"\r\neth0"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, _ := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": id, "ifName": "eth0", "networkName": "pods", "config": []byte(`{"name":"pods"}`), "result": map[string]any{"cniVersion": "1.0.0"},
	})
	cache := filepath.Join(n.options.Root, "io.containerd.grpc.v1.cri/cni/results", "pods-"+id+"-eth0")
	if err := os.WriteFile(cache, result, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, `add rule inet cni_plugins_masquerade masq_checks ip saddr 10.77.200.`+digit+` masquerade comment "`+netcheck.MasqueradeComment("pods", "eth0", id)+`"
add rule ip cni_hostport hostports tcp dport 999`+digit+` dnat to 10.77.200.`+digit+`:80 comment "`+id+`"
`, "nft", "-f", "-")
	chain := "CNI-" + strings.Repeat(digit, 24)
	run(t, "", "iptables", "-t", "nat", "-N", chain)
	run(t, "", "iptables", "-t", "nat", "-A", chain, "-m", "comment", "--comment", `name: "pods" id: "`+id+`"`, "-j", "ACCEPT")
	run(t, "", "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.77.200."+digit, "-m", "comment", "--comment", `name: "pods" id: "`+id+`"`, "-j", chain)
	n.port("veth0000000"+digit, "peer"+digit)
	store, err := nsstore.Open(filepath.Join(n.options.State, "io.containerd.grpc.v1.cri/namespaces"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := store.Make(id, &nsstore.Request{New: unix.CLONE_NEWNET})
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	if err := store.Close(); err != nil { // there are others in it
		t.Fatal(err)
	}
	return id
}

func (n *node) port(name, peer string) {
	n.t.Helper()
	bridge, err := netlink.LinkByName("cnicheck")
	if err == nil {
		err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: bridge.Attrs().Index}, PeerName: peer})
	}
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if l, err := netlink.LinkByName(name); err == nil {
			netlink.LinkDel(l) // the namespace is the test's
		}
	})
}

// state is all that check looks at, as others tell it.
func (n *node) state() string {
	files, _ := filepath.Glob(n.leases + "/*/*")
	results, _ := filepath.Glob(n.options.Root + "/io.containerd.grpc.v1.cri/cni/results/*")
	links, err := netlink.LinkList()
	if err != nil {
		n.t.Fatal(err)
	}
	lines := append(files, results...)
	for _, l := range links {
		lines = append(lines, l.Attrs().Name)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + run(n.t, "", "nft", "-a", "list", "ruleset")
}

func TestCheckAndRepair(t *testing.T) {
	n := start(t)
	pod := n.pod("web", 8080)
	run(t, "", "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.1.1.1", "-j", "ACCEPT") // so that the table is there before
	before := n.state()
	if r := n.check(); len(r.Findings) != 0 || r.Pods != 1 || !slices.Contains(r.Networks, "pods") || r.Unanswered != "" || r.Busy {
		t.Fatalf("a node with nothing left over: %+v", r)
	}
	id := n.leak("1")
	kinds := map[string]int{}
	for _, f := range n.check().Findings {
		kinds[f.Kind]++
		if f.Pod == pod || f.Pod != id && f.Kind != "interface" && f.Detail == "" {
			t.Errorf("found %v", f.String())
		}
	}
	for kind, want := range map[string]int{"lease": 1, "result": 1, "nftables rule": 2, "iptables rule": 1, "interface": 1, "namespace": 1} {
		if kinds[kind] != want {
			t.Errorf("%d of kind %s, want %d", kinds[kind], kind, want)
		}
	}
	left, removed, err := netcheck.Repair(t.Context(), n.options)
	if err != nil || len(left.Findings) != 0 || len(removed) != 7 {
		t.Errorf("repair: removed %v, left %+v, %v", removed, left, err)
	}
	if r := n.check(); len(r.Findings) != 0 {
		t.Errorf("after the repair %v", r.Findings)
	}
	if after := n.state(); after != before {
		t.Errorf("after the repair\n%s\nbefore\n%s", after, before)
	}
}

// TestSpared: what may be somebody else's is not found.
func TestSpared(t *testing.T) {
	n := start(t)
	n.pod("web", 8080)
	other := strings.Repeat("a", 64)
	for name, text := range map[string]string{"10.77.201.1": "podman-1\r\neth0", "10.77.201.2": "", "10.77.201.3": other + "\r\neth0"} {
		if err := os.WriteFile(filepath.Join(n.leases, "pods", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	results := filepath.Join(n.options.OtherCaches[0], "results")
	result, _ := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": other, "ifName": "eth0", "networkName": "pods", "config": []byte(`{}`),
		"result": map[string]any{"cniVersion": "1.0.0", "interfaces": []map[string]string{{"name": "vethaaaaaaaa"}}},
	})
	if err := os.MkdirAll(results, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(results, "x"), result, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, `add rule inet cni_plugins_masquerade masq_checks ip saddr 10.77.201.3 masquerade comment "`+netcheck.MasqueradeComment("pods", "eth0", other)+`"
add rule inet cni_plugins_masquerade masq_checks ip saddr 10.5.0.1 masquerade comment "`+netcheck.MasqueradeComment("podman", "eth0", strings.Repeat("b", 64))+`"
add rule inet cni_plugins_masquerade masq_checks ip saddr 10.5.0.2 masquerade comment "mine"
`, "nft", "-f", "-")
	n.port("vethaaaaaaaa", "peera")
	n.port("docker0p", "peerb")
	t.Cleanup(func() { run(t, "", "nft", "flush", "chain", "inet", "cni_plugins_masquerade", "masq_checks") })
	if r := n.check(); len(r.Findings) != 0 {
		t.Errorf("found %v", r.Findings)
	}
}

// TestWithoutDaemon: its records tell of its pods, and nothing is removed.
func TestWithoutDaemon(t *testing.T) {
	n := start(t)
	n.pod("web", 8080)
	n.leak("2")
	n.Crash()
	r := n.check()
	if r.Unanswered == "" || len(r.Findings) != 7 || r.Pods != 1 {
		t.Errorf("%+v", r)
	}
	var text bytes.Buffer
	if r.Write(&text); !strings.Contains(text.String(), "does not run") {
		t.Errorf("it says %q", text.String())
	}
	before := n.state()
	if _, removed, err := netcheck.Repair(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "start it") || removed != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if n.state() != before {
		t.Error("something was removed")
	}
	if _, err := netcheck.List(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("list: %v", err)
	}
	if err := n.Restart(); err != nil {
		t.Fatal(err)
	}
	waitReady(t, n)
	if _, removed, err := netcheck.Repair(t.Context(), n.options); err != nil || len(removed) == 0 {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func waitReady(t *testing.T, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := n.runtime.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

// TestBusyNode: while pods come and go nothing of theirs is found.
func TestBusyNode(t *testing.T) {
	n := start(t)
	n.pod("stays", 8080)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			config := &cri.PodSandboxConfig{
				Metadata: &cri.PodSandboxMetadata{Name: "churn", Namespace: "default", Uid: "churn", Attempt: uint32(i)}, Hostname: "churn",
				LogDirectory: n.Dir, Linux: &cri.LinuxPodSandboxConfig{},
				PortMappings: []*cri.PortMapping{{HostPort: 8081, ContainerPort: 80}},
			}
			made, err := n.runtime.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: config})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := n.runtime.RemovePodSandbox(t.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: made.PodSandboxId}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	n.options.Pause = 3 * time.Second // the daemon deletes what the kernel has not deleted within one
	for range 3 {
		if _, removed, err := netcheck.Repair(t.Context(), n.options); err != nil || len(removed) != 0 {
			t.Errorf("removed %v, %v", removed, err)
		}
	}
	stop()
	<-done
}

// TestStrangeDirectory: with another daemon's directories pods that are being made would look like nobody's.
func TestStrangeDirectory(t *testing.T) {
	n := start(t)
	n.pod("web", 8080)
	own := n.options.State
	empty := t.TempDir()
	if err := os.MkdirAll(filepath.Join(empty, "io.containerd.grpc.v1.cri/pods"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(own, "none"), empty} {
		n.options.State = dir
		if _, _, err := netcheck.Repair(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "--state") {
			t.Errorf("got %v", err)
		}
	}
}

func TestOptions(t *testing.T) {
	good := netcheck.Options{Address: "/none", State: "/none/s", Root: "/none/r", ConfDir: "/none/c"}
	if r, err := netcheck.Check(t.Context(), good); err != nil || r.Unanswered == "" {
		t.Errorf("with nothing there: %+v, %v", r, err)
	}
	good.State = "s"
	if _, err := netcheck.Check(t.Context(), good); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("got %v", err)
	}
}
