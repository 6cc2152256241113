// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// states: what a probe says of a container that is not running as it should.
func (f *probed) states(t *testing.T) {
	n := f.node.In(t)
	created := f.pod.Create(ContainerConfig("created", Forever))
	exited := f.pod.Run("exited", "exit 0")
	n.WaitExited(exited)
	f.births.Forget()
	for _, id := range []string{created, exited, unknown, ""} {
		_, errTrue := n.execOf(id, "true")
		_, err := n.probe(id, "alive")
		if got, want := status.Code(err), status.Code(errTrue); got != want || got == codes.OK { // as of any command
			t.Errorf("container %q: %v, want %v", id, err, want)
		}
	}
	n.freeze(f.quiet, true)
	n.probes(f.quiet, 1, []string{"alive"}, "frozen")
	n.probes(f.quiet, 0, []string{"file", "/bin/busybox", "--validity", "1000000h"})
	n.freeze(f.quiet, false)
	n.probes(f.quiet, 0, []string{"alive"})
	f.noBirths(t)
}

// execOf runs a command and returns what became of it.
func (n *Node) execOf(id string, args ...string) (*runtime.ExecSyncResponse, error) {
	ctx, cancel := n.context()
	defer cancel()
	return n.Runtime.ExecSync(ctx, &runtime.ExecSyncRequest{ContainerId: id, Cmd: args, Timeout: 20})
}

// freeze freezes a container's cgroup, or thaws it, and waits until that is so.
func (n *Node) freeze(id string, frozen bool) {
	n.t.Helper()
	name, value, state, want := "cgroup.freeze", map[bool]string{true: "1", false: "0"}[frozen], "cgroup.events", fmt.Sprintf("frozen %d\n", map[bool]int{true: 1}[frozen])
	dir := filepath.Join("/sys/fs/cgroup", n.Cgroup, id)
	if v1 := filepath.Join("/sys/fs/cgroup/freezer", n.Cgroup, id); isDirectory(v1) {
		dir, name, state = v1, "freezer.state", "freezer.state"
		value = map[bool]string{true: "FROZEN", false: "THAWED"}[frozen]
		want = value + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0); err != nil {
		n.t.Fatal(err)
	}
	n.Eventually(name+" is "+value, func() bool {
		text, err := os.ReadFile(filepath.Join(dir, state))
		return err == nil && strings.Contains(string(text), want)
	})
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// pods: on the node's network, with one pid namespace, with users of their own.
func (f *probed) pods(t *testing.T) {
	n := f.node.In(t)
	listener, err := n.Place.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	// The daemon's own loopback interface is that of pods on the node's network, and nobody else's.
	n.probes(f.quiet, 1, []string{"tcp", port}, "refused")
	for name, change := range map[string]func(*runtime.PodSandboxConfig){"host": HostNetwork, "shared": SharedPID, "users": UserNamespace} {
		pod := n.RunPod(change)
		script := fmt.Sprintf("touch /tmp/ok; ln -s %[1]s/fresh /tmp/out; ln -s /proc/%[2]d/root%[1]s/fresh /tmp/self; exec testserver http 127.0.0.1:8088", f.host, n.PID())
		id := pod.Run("c", script, func(c *runtime.ContainerConfig) {
			pod.likePod(c)
			c.Image.Image = Server
			c.Mounts = f.mounts()[:1]
		})
		n.Eventually("the server is ready", func() bool { return strings.Contains(pod.Log("c"), " ready\n") })
		f.births.Forget()
		n.probes(id, 0, []string{"alive"})
		n.probes(id, 0, []string{"http", ":8088/healthz"})
		n.probes(id, 0, []string{"file", "/tmp/ok", "--validity", "1h"})
		n.probes(id, 0, []string{"file", "volume:probe-volume/ok", "--validity", "1h"})
		for _, path := range []string{"/tmp/out", "/tmp/self", "/proc/" + itoa(n.PID()) + "/root" + f.host + "/fresh"} {
			n.probes(id, 1, []string{"file", path, "--validity", "1h"})
		}
		n.probes(id, map[bool]int32{true: 0, false: 1}[name == "host"], []string{"tcp", port})
		n.probes(f.quiet, 1, []string{"tcp", "8088"}) // another pod's
		f.noBirths(t)
		pod.Remove()
	}
	f.births.Forget()
}

// streams: exec as kubectl does it, by crictl.
func (f *probed) streams(t *testing.T) {
	n := f.node.In(t)
	n.crictlWants([]string{"exec", f.server, "sardine-probe", "tcp", "7070"}, "7070")
	n.crictlWants([]string{"exec", "-i", f.server, "sardine-probe", "file", "/tmp/ok", "--validity", "1h"}, "/tmp/ok")
	n.crictlWants([]string{"exec", "-s", f.server, "sardine-probe", "alive"}, "alive")
	n.crictlFails([]string{"exec", f.server, "sardine-probe", "tcp", "7072"}, "exit status 1")
	n.crictlFails([]string{"exec", f.server, "sardine-probe", "fish"}, "exit status 1") // crictl's own, whatever the code
	f.noBirths(t)
	// On a terminal somebody looks around, and what there is is run.
	crictl := n.CrictlCommand(t.Context(), "exec", "-it", f.own, "sardine-probe", "alive")
	script := exec.CommandContext(t.Context(), "script", "-qec", strings.Join(crictl.Args, " "), "/dev/null")
	var out bytes.Buffer
	script.Stdout, script.Stderr = &out, &out
	if err := n.Place.Run(script); err == nil || !strings.Contains(out.String(), "the image's own") {
		t.Errorf("on a terminal: %v: %q", err, &out)
	}
	f.births.Forget()
}

// end: a probe that waits for a container's answer ends with it.
func (f *probed) end(t *testing.T) {
	n := f.node.In(t)
	pod := n.RunPod()
	id := pod.Run("c", "exec testserver tcp 127.0.0.1:7070", func(c *runtime.ContainerConfig) { c.Image.Image = Server })
	n.Eventually("the server is ready", func() bool { return strings.Contains(pod.Log("c"), " ready\n") })
	f.births.Forget()
	var waiting sync.WaitGroup
	for _, args := range [][]string{{"http", ":7070/"}, {"grpc", "7070"}} {
		waiting.Go(func() {
			if answer := n.answersSoon(args, id); answer.GetExitCode() == 0 {
				t.Errorf("%q succeeds: %q", args, answer.GetStdout())
			}
		})
	}
	proc := "/proc/" + n.pidOf(id)
	n.Eventually("both wait", func() bool { return connectionsTo(t, proc, 7070) == 2 })
	n.StopContainer(id, 10)
	waiting.Wait()
	f.noBirths(t)
	pod.Remove()
}

// connectionsTo counts the connections that a port of 127.0.0.1 has in a process's network.
func connectionsTo(t *testing.T, proc string, port int) (count int) {
	t.Helper()
	table, err := os.ReadFile(proc + "/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		const established = "01"
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == fmt.Sprintf("0100007F:%04X", port) && fields[3] == established {
			count++
		}
	}
	return count
}

// thousand: so many probes cost neither a process nor a thread nor a number of the container's pid namespace.
func (f *probed) thousand(t *testing.T) {
	n := f.node.In(t)
	next := func() int {
		number, err := strconv.Atoi(n.Exec(f.quiet, "sh", "-c", "echo $$"))
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	probes := [][]string{
		{"file", "/bin/busybox", "--validity", "1000000h"}, {"alive"}, {"http", ":8080/healthz"}, {"tcp", "7070"}, {"grpc", "9090"},
		{"all", "alive", "--", "tcp", "7070"}, {"file", "/none", "--validity", "1s"}, {"fish"},
	}
	ask := func(count int) error {
		errs := make(chan error, 8)
		for worker := range 8 {
			go func() {
				var err error
				for i := worker; i < count && err == nil; i += 8 {
					_, err = n.probe(f.quiet, probes[i%len(probes)]...)
				}
				errs <- err
			}()
		}
		var all error
		for range 8 {
			all = errors.Join(all, <-errs)
		}
		return all
	}
	if err := ask(64); err != nil { // so that the runtime has the threads it needs
		t.Error(err)
	}
	before := next()
	f.births.Forget()
	f.leaveNoThreads(t, func() {
		if err := ask(1000); err != nil {
			t.Error(err)
		}
	})
	f.noBirths(t)
	if used := next() - before; used < 1 || used > 50 { // by the exec that asks, with its threads
		t.Errorf("%d pids of the container's namespace were used", used)
	}
	f.births.Forget()
}

// names: what is not exactly the command is not the daemon's to answer.
func (f *probed) names(t *testing.T) {
	n := f.node.In(t)
	for _, name := range []string{"/bin/sardine-probe", "./sardine-probe", "sardine-probe ", "Sardine-Probe", "sardine-probe2"} {
		answer, err := n.execOf(f.quiet, name, "alive")
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), name) {
			t.Errorf("%q where it is not: %v, %v", name, answer, err)
		}
	}
	if answer, err := n.execOf(f.quiet, "sh", "-c", "sardine-probe alive"); err != nil || answer.ExitCode != 127 {
		t.Errorf("a shell finds %v, %v", answer, err)
	}
	n.probes(f.own, 0, []string{"alive"})
	for _, args := range [][]string{{"/bin/sardine-probe", "alive"}, {"sh", "-c", "sardine-probe alive"}, {"env", "sardine-probe", "alive"}} {
		n.isOwn(f.own, args...)
	}
}

// isOwn wants the answer of the image's own program.
func (n *Node) isOwn(id string, args ...string) {
	n.t.Helper()
	answer, err := n.execOf(id, args...)
	if err != nil || answer.ExitCode != 3 || string(answer.Stdout) != "the image's own [alive]\n" {
		n.t.Errorf("%q: %v, %v", args, answer, err)
	}
}

// counted: the daemon's metrics tell of every probe, by its kind and what came of it, and of nothing else.
func (f *probed) counted(t *testing.T) {
	n := f.node.In(t)
	count := func() map[string]int {
		counted := map[string]int{}
		for line := range strings.Lines(n.metrics()) {
			if name, number, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "sardine_probes_total{") {
				counted[name], _ = strconv.Atoi(number)
			}
		}
		return counted
	}
	before := count()
	n.probes(f.server, 0, []string{"file", "/tmp/ok", "--validity", "10h"})
	n.probes(f.server, 1, []string{"tcp", "7072"})
	n.probes(f.server, 2, []string{"fish"})
	n.isOwn(f.own, "/bin/sardine-probe", "alive")
	after := count()
	for name, number := range after {
		want := before[name]
		switch name {
		case `sardine_probes_total{kind="file",result="success"}`, `sardine_probes_total{kind="tcp",result="failure"}`,
			`sardine_probes_total{kind="invalid",result="usage"}`:
			want++
		}
		if number != want {
			t.Errorf("%s is %d, want %d", name, number, want)
		}
	}
	if len(after) < 10 { // six kinds have succeeded and failed by now
		t.Errorf("only %v are counted", after)
	}
}

// metrics asks the daemon for its own.
func (n *Node) metrics() string {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsAddress+"/v1/metrics", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	response, err := n.Place.HTTP().Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		n.t.Fatalf("metrics: %s, %v", response.Status, err)
	}
	return string(text)
}

// off: the configuration can have every command be the image's own, of containers that run already too. A probe that waits does not
// hold up the end of the daemon.
func (f *probed) off(t *testing.T) {
	n := f.node.In(t)
	waited := make(chan error, 1)
	go func() {
		_, err := n.probe(f.server, "http", ":8080/slow")
		waited <- err
	}()
	time.Sleep(100 * time.Millisecond) // most often, it waits by now
	began := time.Now()
	n.Stop()
	if took := time.Since(began); took > 30*time.Second { // the server answers after a minute
		t.Errorf("the daemon took %v to end", took)
	}
	if err := <-waited; err == nil {
		t.Error("the probe that waited was answered")
	}
	n.changeConfig("stock_runc = ", "probes = false\nstock_runc = ")
	n.Start()
	n.Restarted()
	n.isOwn(f.own, "sardine-probe", "alive")
	if answer, err := n.execOf(f.quiet, "sardine-probe", "alive"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a program that is not there: %v, %v", answer, err)
	}
	n.crictlFails([]string{"exec", f.quiet, "sardine-probe", "alive"}, "sardine-probe")
}
