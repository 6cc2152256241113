// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a person does with crictl, from the first pod to the last.
func TestCrictl(t *testing.T) {
	n := StartNode(t)
	n.lookAround()
	n.pullsByHand()
	pod, container := n.firstPod()
	n.inspects(pod, container)
	n.execs(container)
	n.readsLogs(container)
	n.attaches(pod)
	n.forwardsPorts()
	n.measures(pod, container)
	n.updates(container)
	n.cleansUp(container)
}

// crictlWants runs crictl and looks for words in what it prints.
func (n *Node) crictlWants(args []string, words ...string) {
	n.t.Helper()
	out := n.MustCrictl(args...)
	for _, word := range words {
		if !strings.Contains(out, word) {
			n.t.Errorf("crictl %v lacks %q:\n%s", args, word, out)
		}
	}
}

// crictlFails runs crictl, which must fail and say words.
func (n *Node) crictlFails(args []string, words ...string) {
	n.t.Helper()
	out, err := n.Crictl(args...)
	if err == nil {
		n.t.Errorf("crictl %v did not fail:\n%s", args, out)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			n.t.Errorf("crictl %v failed without %q: %v", args, word, err)
		}
	}
}

func (n *Node) lookAround() {
	n.t.Helper()
	n.crictlWants([]string{"version"}, "RuntimeName", "RuntimeApiVersion:  v1")
	n.crictlWants([]string{"info"}, `"type": "RuntimeReady"`, `"type": "NetworkReady"`, "runtimeHandlers")
	n.crictlWants([]string{"runtime-config"}, "cgroup driver")
	n.crictlWants([]string{"imagefsinfo"}, "mountpoint", "usedBytes")
	for _, list := range []string{"pods", "ps", "images"} {
		if out := n.MustCrictl(list, "-q"); out != "" {
			n.t.Errorf("crictl %s on a fresh node: %s", list, out)
		}
	}
}

func (n *Node) pullsByHand() {
	n.t.Helper()
	n.crictlWants([]string{"pull", Busybox}, "sha256:")
	n.MustCrictl("pull", Nginx)
	n.crictlFails([]string{"pull", Private}, "authoriz")
	n.crictlFails([]string{"pull", "--creds", privateUser + ":wrong", Private}, "authoriz")
	n.MustCrictl("pull", "--creds", privateUser+":"+privatePassword, Private)
	n.crictlFails([]string{"pull", "registry.test/none:1"}, "not found")
	n.crictlWants([]string{"images"}, "registry.k8s.io/e2e-test-images/busybox", "1.29-2", privateHost)
	n.crictlWants([]string{"inspecti", Busybox}, `"repoTags"`, Busybox, `"id": "sha256:`)
	n.crictlFails([]string{"inspecti", "registry.test/none:1"}, "no such image")
	// The private image is the same one by another name; by that it is removed, and
	// so is the other name.
	n.MustCrictl("rmi", Private)
	n.crictlFails([]string{"inspecti", Busybox}, "no such image")
	n.MustCrictl("pull", Busybox)
}

// firstPod runs a pod with one container step by step.
func (n *Node) firstPod() (pod, container string) {
	n.t.Helper()
	podFile := n.crictlFile("pod", n.crictlPod("first"))
	file := n.crictlFile("container", map[string]any{
		"metadata": map[string]any{"name": "shell"}, "image": map[string]any{"image": Busybox},
		"command":  []string{"sh", "-c", "echo to stdout; echo to stderr >&2; " + Forever},
		"log_path": "shell.log", "labels": map[string]string{"fish": "sardine"}, "linux": map[string]any{},
	})
	pod = n.MustCrictl("runp", podFile)
	n.crictlWants([]string{"pods"}, pod[:13], "Ready", "first")
	container = n.MustCrictl("create", pod, file, podFile)
	n.crictlWants([]string{"ps", "-a"}, container[:13], "Created")
	n.crictlFails([]string{"exec", "-s", container, "true"}, "exec")
	n.MustCrictl("start", container)
	n.crictlWants([]string{"ps", "--label", "fish=sardine"}, container[:13], "Running")
	n.crictlFails([]string{"start", container}, "start")
	n.crictlFails([]string{"runp", podFile}, "is reserved for")
	return pod, container
}

func (n *Node) crictlPod(name string) map[string]any {
	return map[string]any{
		"metadata":      map[string]any{"name": name, "namespace": "by-hand", "uid": n.Namespace + name, "attempt": 1},
		"log_directory": n.Logs, "hostname": name, "labels": map[string]string{"made": "by-hand"},
		"linux": map[string]any{"cgroup_parent": n.Cgroup},
	}
}

func (n *Node) inspects(pod, container string) {
	n.t.Helper()
	n.crictlWants([]string{"inspectp", pod}, `"state": "SANDBOX_READY"`, `"ip": "10.88.`, "by-hand")
	n.crictlWants([]string{"inspect", container}, `"state": "CONTAINER_RUNNING"`, `"pid": `, Busybox, "shell.log")
	n.crictlWants([]string{"inspectp", pod[:10]}, pod) // by a prefix
	n.crictlWants([]string{"inspect", container[:10]}, container)
	n.crictlWants([]string{"pods", "--namespace", "by-hand", "--name", "first", "-q"}, pod)
	n.crictlFails([]string{"inspect", "0000"}, "not found")
	n.crictlFails([]string{"inspectp", "0000"}, "not found")
}

// execs runs commands by ExecSync and by streams. Those are SPDY: crictl's
// WebSockets speak the fifth version of the protocol only, the kubelet's
// streaming library, which is the server, the fourth.
func (n *Node) execs(container string) {
	n.t.Helper()
	n.crictlWants([]string{"exec", "-s", container, "echo", "a b", "c"}, "a b c")
	n.crictlFails([]string{"exec", "-s", container, "sh", "-c", "echo no >&2; exit 4"}, "4")
	n.crictlFails([]string{"exec", "-s", container, "nonesuch"}, "nonesuch")
	n.crictlFails([]string{"exec", "-s", "--timeout", "1", container, "sleep", "100"}, "deadline")
	n.crictlWants([]string{"exec", container, "hostname"}, "first")
	out, err := n.CrictlInput(strings.NewReader("through stdin\n"), "exec", "-i", container, "cat")
	if err != nil || out != "through stdin\n" {
		n.t.Errorf("exec -i: %q, %v", out, err)
	}
	n.crictlFails([]string{"exec", container, "sh", "-c", "exit 5"}, "5")
	out = n.onTerminal("exec", "-it", container, "sh", "-c", "tty; stty size")
	if !strings.Contains(out, "/dev/pts/0") {
		n.t.Errorf("no terminal: %q", out)
	}
}

// onTerminal runs crictl on a terminal, by script(1), and returns its output.
func (n *Node) onTerminal(args ...string) string {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	crictl := n.CrictlCommand(ctx, args...)
	for i, arg := range crictl.Args {
		crictl.Args[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	cmd := exec.CommandContext(ctx, "script", "-qec", crictl.Path+" "+strings.Join(crictl.Args[1:], " "), "/dev/null")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Place.Run(cmd); err != nil {
		n.t.Errorf("crictl %v on a terminal: %v: %s", args, err, out.String())
	}
	return out.String()
}

func (n *Node) readsLogs(container string) {
	n.t.Helper()
	n.Eventually("it has logged", func() bool { return strings.Contains(n.MustCrictl("logs", container), "to stdout") })
	n.crictlWants([]string{"logs", "--timestamps", container}, "Z to stdout")
	n.MustCrictl("logs", "--reopen", container)
}

// attaches talks to a shell.
func (n *Node) attaches(pod string) {
	n.t.Helper()
	file := n.crictlFile("listener", map[string]any{
		"metadata": map[string]any{"name": "listener"}, "image": map[string]any{"image": Busybox},
		"command": []string{"sh", "-c", "read line; echo heard $line; exit 0"}, "log_path": "listener.log",
		"stdin": true, "stdin_once": true, "linux": map[string]any{},
	})
	id := n.MustCrictl("create", pod, file, n.crictlFile("pod", n.crictlPod("first")))
	n.MustCrictl("start", id)
	out, err := n.CrictlInput(strings.NewReader("a fish\n"), "attach", "-i", id)
	if err != nil || !strings.Contains(out, "heard a fish") {
		n.t.Errorf("attach: %q, %v", out, err)
	}
	if code := n.WaitExited(id).ExitCode; code != 0 {
		n.t.Errorf("exit code %d", code)
	}
	n.crictlWants([]string{"logs", id}, "heard a fish")
	n.MustCrictl("rm", id)
}

// forwardsPorts reaches a web server in a pod.
func (n *Node) forwardsPorts() {
	n.t.Helper()
	pod := n.RunPod()
	pod.Run("web", "", func(c *runtime.ContainerConfig) { c.Image.Image, c.Command = Nginx, nil })
	// crictl ends with the first connection that is refused.
	n.Eventually("the web server answers", func() bool { return n.fetch("http://"+n.addressOf(pod)) == nil })
	ctx, cancel := context.WithCancel(n.t.Context())
	defer cancel()
	wait, err := n.Place.Start(n.CrictlCommand(ctx, "port-forward", pod.ID, "18080:80"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.Eventually("the forwarded port answers", func() bool { return n.fetch("http://127.0.0.1:18080") == nil })
	cancel()
	_ = wait() // it was killed
	pod.Remove()
}

func (n *Node) fetch(url string) error {
	ctx, cancel := n.context()
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := n.Place.HTTP().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.Contains(string(body), "hello")) {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}

func (n *Node) measures(pod, container string) {
	n.t.Helper()
	n.crictlWants([]string{"stats"}, container[:13], "shell")
	n.crictlWants([]string{"stats", "-o", "json", container}, "usageCoreNanoSeconds", "workingSetBytes")
	n.crictlWants([]string{"statsp", "-o", "json", "--id", pod}, "linux", "network", "memory")
	if program() == "sardined" {
		n.crictlWants([]string{"metricdescs"}, "container_cpu_usage_seconds_total")
		n.crictlWants([]string{"metricsp"}, pod, "container_memory_working_set_bytes")
	}
}

func (n *Node) updates(container string) {
	n.t.Helper()
	n.MustCrictl("update", "--memory", fmt.Sprint(64<<20), "--cpu-quota", "50000", "--cpu-period", "100000", container)
	n.crictlWants([]string{"inspect", container}, fmt.Sprint(64<<20))
	if program() == "sardined" {
		n.crictlFails([]string{"checkpoint", "--export", n.Dir + "/checkpoint.tar", container}, "checkpoint")
	}
}

// cleansUp leaves nothing: images in use and pods that run are the hard part.
func (n *Node) cleansUp(container string) {
	n.t.Helper()
	n.MustCrictl("stop", "--timeout", "5", container)
	n.crictlWants([]string{"ps", "-a"}, container[:13], "Exited")
	n.MustCrictl("rm", container)
	n.RunPod().Run("runs", Forever)
	n.MustCrictl("rmp", "-fa")
	n.MustCrictl("rmi", "--all")
	for _, list := range []string{"pods", "ps", "images"} {
		if out := n.MustCrictl(list, "-q"); out != "" && (list != "images" || program() == "sardined") {
			n.t.Errorf("crictl %s: still there: %s", list, out)
		}
	}
	if left := n.Addresses(); len(left) > 0 {
		n.t.Errorf("addresses still in use: %v", left)
	}
}
