// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// node is a daemon in a place of its own, whose networks a test configures.
type node struct {
	*e2e.Daemon
	t     testing.TB
	place *e2e.Place
	dir   string
	pods  int
}

// settings of a node. The paths of programs and configuration are absolute.
type settings struct {
	programs string // bin_dirs, where nothing need be
	section  string // of plugins."io.containerd.sardine.v1.network"
}

const daemonConfig = `
[plugins."io.containerd.cri.v1.runtime"]
cdi_spec_dirs = [%[1]q]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%[2]q]
conf_dir = %[3]q
[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins."io.containerd.sardine.v1.network"]
%[4]s
`

// startNode starts a daemon, with the files of its configuration directory by their names. What the daemon leaves on the node fails
// the test.
func startNode(t *testing.T, s settings, files map[string]string) *node {
	t.Helper()
	testnode.NeedRoot(t)
	e2e.Program(t, "crictl")
	dir, err := os.MkdirTemp("/tmp", "net-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: t, place: e2e.NewPlace(t), dir: dir}
	if err := os.Mkdir(dir+"/net.d", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		n.write(name, text)
	}
	n.Daemon = e2e.StartDaemon(t, e2e.In(n.place), e2e.WithCRI(), e2e.WithLeaksIgnored(harmless),
		e2e.WithConfig(fmt.Sprintf(daemonConfig, dir+"/cdi", s.programs, dir+"/net.d", s.section)))
	return n
}

// harmless exempts what stays on a node that had a pod and belongs to none.
func harmless(l testnode.Leak) bool {
	return l.Kind == "cgroup" && filepath.Base(l.Name) == "k8s.io" || l.Kind == "file" && strings.Contains(l.Name, "k8s.io")
}

// write puts a file into the configuration directory, at once.
func (n *node) write(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(n.dir+"/new", []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(n.dir+"/new", n.dir+"/net.d/"+name); err != nil {
		n.t.Fatal(err)
	}
}

// crictl returns what it printed. The error holds what it said on its standard error.
func (n *node) crictl(args ...string) (string, error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	config := filepath.Join(n.dir, "crictl.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "runtime-endpoint: unix://%[1]s\nimage-endpoint: unix://%[1]s\ntimeout: 30\n", n.Address), 0o600); err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, e2e.Program(n.t, "crictl"), append([]string{"--config", config}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := n.place.Run(cmd); err != nil {
		return stdout.String(), fmt.Errorf("crictl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// must is crictl where an error ends the test.
func (n *node) must(args ...string) string {
	n.t.Helper()
	out, err := n.crictl(args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// run runs a pod and returns its id.
func (n *node) run() (string, error) {
	n.t.Helper()
	n.pods++
	name := fmt.Sprintf("pod-%d", n.pods)
	text, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": name, "namespace": "tests", "uid": n.Namespace + name, "attempt": 1},
		"linux":    map[string]any{"cgroup_parent": "/" + n.Namespace},
	})
	if err == nil {
		err = os.WriteFile(n.dir+"/pod.json", text, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return n.crictl("runp", n.dir+"/pod.json")
}

// condition is NetworkReady and its reason, from crictl info.
func (n *node) condition() (ready bool, reason string) {
	n.t.Helper()
	var info struct {
		Status struct {
			Conditions []struct {
				Type, Reason, Message string
				Status                bool
			} `json:"conditions"`
		} `json:"status"`
	}
	if err := json.Unmarshal([]byte(n.must("info")), &info); err != nil {
		n.t.Fatal(err)
	}
	for _, c := range info.Status.Conditions {
		if c.Type == "NetworkReady" {
			return c.Status, c.Reason + ": " + c.Message
		}
	}
	n.t.Fatal("crictl info has no NetworkReady")
	return false, ""
}

// awaitReady waits until the network is, or is not, ready, and returns the reason.
func (n *node) awaitReady(want bool) string {
	n.t.Helper()
	for deadline := time.Now().Add(testnode.Patience); ; time.Sleep(25 * time.Millisecond) {
		ready, reason := n.condition()
		if ready == want {
			return reason
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("NetworkReady is not %t: %s", want, reason)
		}
	}
}

// awaitReason waits until the network is not ready for a reason: at first it may be the one before.
func (n *node) awaitReason(name, want string) {
	n.t.Helper()
	for deadline := time.Now().Add(testnode.Patience); ; time.Sleep(50 * time.Millisecond) {
		ready, reason := n.condition()
		if !ready && strings.Contains(reason, want) {
			return
		}
		if time.Now().After(deadline) {
			n.t.Errorf("%s: NetworkReady is %t, reason %q, expected %q", name, ready, reason, want)
			return
		}
	}
}

// address is the pod's.
func (n *node) address(id string) string {
	n.t.Helper()
	var pod struct {
		Status struct {
			Network struct{ IP string }
		}
	}
	if err := json.Unmarshal([]byte(n.must("inspectp", id)), &pod); err != nil {
		n.t.Fatal(err)
	}
	return pod.Status.Network.IP
}

// removeAll removes all pods.
func (n *node) removeAll() {
	n.t.Helper()
	n.must("rmp", "-fa")
	if left := n.must("pods", "-q"); left != "" {
		n.t.Errorf("pods are left: %s", left)
	}
}

// output of a command in the place.
func (n *node) output(name string, args ...string) string {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.place.Run(cmd); err != nil {
		n.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, &out)
	}
	return out.String()
}
