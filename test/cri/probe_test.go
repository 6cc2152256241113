// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/births"
	"github.com/sardine-run/sardine/test/e2e"
)

// Probes are answered by the daemon: every kind, whatever comes of it, in containers of every kind, and no process is started
// for any. One daemon serves all subtests; the last one restarts it with probes turned off.
func TestProbes(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t, withMetrics)
	f := newProbed(n)
	t.Run("answers", f.answers)
	t.Run("program", f.program)
	t.Run("hostile", f.hostile)
	t.Run("timeouts", f.timeouts)
	t.Run("beat", f.beat)
	t.Run("states", f.states)
	t.Run("pods", f.pods)
	t.Run("streams", f.streams)
	t.Run("hung", f.hung)
	t.Run("end", f.end)
	t.Run("thousand", f.thousand)
	t.Run("names", f.names)
	t.Run("counted", f.counted)
	t.Run("off", f.off)
}

// probed are containers to be probed.
type probed struct {
	node    *Node
	pod     *Pod
	server  string // a container with servers, files of all kinds, and volumes
	quiet   string // one without a program for probes, without volumes, that starts no process by itself
	own     string // one with a program of its own called sardine-probe
	births  *births.Record
	host    string // a directory of the node, in which there is a file "fresh" that no probe may find
	kubelet string // the kubelet's directory of pods, as far as there is one
}

// servers are what runs in f.server; all but the last are on one loopback address only. %s is a directory of the node.
const servers = `cd /tmp; touch ok; touch -d '2001-02-03 04:05:06' old; mkdir d; mkfifo fifo; truncate -s 1000000000000 huge; mknod null c 1 3; mknod pipe p
ln -s ok inside; ln -s /tmp/ok absolute; ln -s loop loop; ln -s / root
ln -s %[1]s/fresh out; ln -s ../../../../../../../..%[1]s/fresh up; ln -s %[1]s dir
ln -s /proc/self/root%[1]s/fresh self; ln -s /proc/1/root%[1]s/fresh first; ln -s /proc/thread-self/cwd%[1]s/fresh thread
exec testserver http 127.0.0.1:8080 https 127.0.0.1:8443 grpc 127.0.0.1:9090 tcp 127.0.0.1:7070 tcp [::1]:7171`

func newProbed(n *Node) *probed {
	n.t.Helper()
	for _, ref := range []string{Busybox, Server, OwnProbe} {
		n.Pull(ref)
	}
	f := &probed{node: n, host: filepath.Join(n.Dir, "outside")}
	f.makeVolumes()
	f.pod = n.RunPod()
	f.quiet = f.pod.Run("quiet", "exec sleep 1000000")
	f.own = f.pod.Run("own", "exec sleep 1000000", func(c *runtime.ContainerConfig) { c.Image.Image = OwnProbe })
	f.server = f.pod.Run("server", strings.ReplaceAll(servers, "%[1]s", f.host), func(c *runtime.ContainerConfig) {
		c.Image.Image = Server
		c.Mounts = f.mounts()
	})
	n.Eventually("the servers are ready", func() bool { return strings.Contains(f.pod.Log("server"), " ready\n") })
	f.births = births.Watch(n.t, n.PID())
	return f
}

// aside is where the server has the program that is for other runtimes. Nobody finds it there.
const aside = "/aside/sardine-probe"

// volume is one of the server's, as a kubelet lays it out below /var/lib/kubelet/pods/UID.
type volume struct{ name, source, at string }

var volumes = []volume{
	{"probe-volume", "volumes/kubernetes.io~empty-dir/probe-volume", "/probe-volume"},
	{"claimed", "volumes/kubernetes.io~csi/claimed/mount", "/claimed"},
	{"part", "volume-subpaths/part/server/3", "/part"},
}

// makeVolumes makes them, with what a container could have put there.
func (f *probed) makeVolumes() {
	f.node.t.Helper()
	f.kubelet = filepath.Join(f.node.Dir, "kubelet", "pods", "0f1e2d3c-uid")
	must := func(err error) {
		if err != nil {
			f.node.t.Fatal(err)
		}
	}
	must(os.MkdirAll(f.host, 0o755))
	must(os.WriteFile(filepath.Join(f.host, "fresh"), nil, 0o644))
	for _, v := range volumes {
		dir := filepath.Join(f.kubelet, v.source)
		must(os.MkdirAll(filepath.Join(dir, "d"), 0o755))
		must(os.WriteFile(filepath.Join(dir, "ok"), nil, 0o644))
		must(os.WriteFile(filepath.Join(dir, "old"), nil, 0o644))
		old := time.Now().Add(-time.Hour)
		must(os.Chtimes(filepath.Join(dir, "old"), old, old))
		must(os.Symlink(filepath.Join(f.host, "fresh"), filepath.Join(dir, "out")))
		up, err := filepath.Rel(dir, filepath.Join(f.host, "fresh"))
		must(err)
		must(os.Symlink(up, filepath.Join(dir, "up")))
		must(os.Symlink(f.host, filepath.Join(dir, "dir")))
	}
}

func (f *probed) mounts() (mounts []*runtime.Mount) {
	for _, v := range volumes {
		mounts = append(mounts, &runtime.Mount{HostPath: filepath.Join(f.kubelet, v.source), ContainerPath: v.at})
	}
	// Neither have hostPath volumes, which are not in the kubelet's directory.
	return append(mounts, &runtime.Mount{HostPath: f.host, ContainerPath: "/on-host"},
		&runtime.Mount{HostPath: e2e.Program(f.node.t, "sardine-probe"), ContainerPath: aside, Readonly: true})
}

// probe asks for a probe in a container, with a timeout that none needs.
func (n *Node) probe(id string, args ...string) (*runtime.ExecSyncResponse, error) {
	return n.execOf(id, append([]string{"sardine-probe"}, args...)...)
}

// probes wants a probe to end with a code and its text, which is one line, to hold some words.
func (n *Node) probes(id string, code int32, args []string, words ...string) {
	n.t.Helper()
	n.says(id, append([]string{"sardine-probe"}, args...), code, words...)
}

// says is probes for a command.
func (n *Node) says(id string, args []string, code int32, words ...string) {
	n.t.Helper()
	began := time.Now()
	answer, err := n.execOf(id, args...)
	if err != nil {
		n.t.Errorf("%q: %v", args, err)
		return
	}
	if took := time.Since(began); took > testnode.Patience {
		n.t.Errorf("%q took %v", args, took)
	}
	text, other := answer.Stdout, answer.Stderr
	if code == 2 {
		text, other = other, text
		words = append(words, "--validity") // the grammar is told
	} else if bytes.Count(text, []byte("\n")) != 1 || !bytes.HasSuffix(text, []byte("\n")) {
		n.t.Errorf("%q does not say one line: %q", args, text)
	}
	if answer.ExitCode != code || len(other) > 0 {
		n.t.Errorf("%q: exit code %d, want %d: stdout %q, stderr %q", args, answer.ExitCode, code, answer.Stdout, answer.Stderr)
	}
	for _, word := range words {
		if !strings.Contains(string(text), word) {
			n.t.Errorf("%q does not say %q: %q", args, word, text)
		}
	}
}

// noBirths wants that no process was started since the last time.
func (f *probed) noBirths(t *testing.T) {
	t.Helper()
	if started := f.births.List(); len(started) > 0 {
		t.Errorf("%d processes were started, the first: %s", len(started), started[0])
	}
	f.births.Forget()
}

func (f *probed) answers(t *testing.T) {
	n := f.node.In(t)
	f.births.Forget()
	for _, c := range probeAnswers {
		n.probes(f.server, c.code, strings.Fields(c.args), c.words...)
	}
	n.probes(f.server, 2, nil)
	n.probes(f.server, 2, []string{""})
	n.probes(f.server, 2, []string{"file", "", "--validity", "1s"})
	n.probes(f.server, 0, []string{"http", ":8080/header?name=X-Fish&value=two%20words", "--header", "X-Fish=two words"})
	for _, count := range []int{16, 17} {
		all := []string{"all", "alive"}
		for range count - 1 {
			all = append(all, "--", "alive")
		}
		n.probes(f.server, map[int]int32{16: 0, 17: 2}[count], all)
	}
	f.noBirths(t)
}

// program has the program for other runtimes answer the same.
func (f *probed) program(t *testing.T) {
	n := f.node.In(t)
	for _, c := range probeAnswers {
		n.says(f.server, append([]string{aside}, strings.Fields(c.args)...), c.code, c.words...)
	}
	f.births.Forget()
}

// hostile asks for what must not be found, and for what could hold up who opens it.
func (f *probed) hostile(t *testing.T) {
	n := f.node.In(t)
	file := func(path string) []string { return []string{"file", path, "--validity", "10h"} }
	for _, path := range []string{
		f.host + "/fresh", "/tmp/out", "/tmp/up", "/tmp/dir/fresh", "/tmp/self", "/tmp/first", "/tmp/thread", "/tmp/loop", "/tmp/ok/ok", "/tmp/none",
		"/tmp/root" + f.host + "/fresh", "/.." + f.host + "/fresh", "/tmp/../../../.." + f.host + "/fresh",
		"/proc/self/root" + f.host + "/fresh", "/proc/self/cwd" + f.host + "/fresh", "/proc/thread-self/root" + f.host + "/fresh",
		"/proc/1/root" + f.host + "/fresh", "/proc/" + itoa(n.PID()) + "/root" + f.host + "/fresh", "/proc/1/cwd/../../../.." + f.host + "/fresh",
		"/" + strings.Repeat("x", 300), "/" + strings.Repeat("x/", 1000),
	} {
		n.probes(f.server, 1, file(path), "file ")
	}
	for _, v := range volumes {
		for _, path := range []string{"/out", "/up", "/dir/fresh", "/none", "/../../../../../../outside/fresh", "/d/../../../../../../../outside/fresh", "/ok/ok"} {
			n.probes(f.server, 1, file("volume:"+v.name+path))
		}
		n.fails(file("volume:"+v.name+"/ok"), f.quiet) // it has no volume
	}
	n.fails(file("volume:on-host/fresh"), f.server)
	n.fails(file("volume:outside/fresh"), f.server)
	n.fails(file("volume:../outside/fresh"), f.server)
	n.fails(file("volume:server/ok"), f.server)
	n.fails(file("volume:kubernetes.io~empty-dir/probe-volume/ok"), f.server)
	n.fails(file("/tmp/ok\x00/tmp/ok"), f.server)
	n.fails(file("/tmp/ok\n"), f.server)
	n.fails(file("/tmp/ok"+strings.Repeat("/.", 3000)), f.server)
	for _, path := range []string{"/tmp/fifo", "/tmp/pipe", "/tmp/null", "/tmp/d", "/tmp", "/dev/zero", "/dev/ptmx"} {
		n.probes(f.server, 1, file(path), "regular")
	}
	for _, path := range []string{"/tmp/huge", "/tmp/inside", "/tmp/absolute", "/tmp/root/tmp/ok", "/../tmp//./ok"} {
		n.probes(f.server, 0, file(path))
	}
	for _, path := range []string{"/dev/stdin", "/dev/fd/0", "/proc/kmsg", "/proc/self/mem", "/proc/1/exe", "/proc/self/fd/1", "/sys/kernel/notes", "/proc/self/ns/net"} {
		n.answersSoon(file(path), f.server)
	}
	f.noBirths(t)
}

// fails wants a probe not to succeed, in either way.
func (n *Node) fails(args []string, id string) {
	n.t.Helper()
	if answer := n.answersSoon(args, id); answer.GetExitCode() == 0 {
		n.t.Errorf("%q succeeds: %q", args, answer.GetStdout())
	}
}

// answersSoon wants a probe to do something.
func (n *Node) answersSoon(args []string, id string) *runtime.ExecSyncResponse {
	n.t.Helper()
	began := time.Now()
	answer, err := n.probe(id, args...)
	if err != nil || answer.ExitCode > 2 || time.Since(began) > testnode.Patience {
		n.t.Errorf("%q: %v after %v: %v", args, answer, time.Since(began), err)
	}
	return answer
}

// timeouts: the request's own ends a probe as it ends a command. All at once, as each takes a second.
func (f *probed) timeouts(t *testing.T) {
	f.births.Forget()
	f.leaveNoThreads(t, func() { f.timeOut(t) })
	f.noBirths(t)
}

func (f *probed) timeOut(t *testing.T) {
	var running sync.WaitGroup
	for _, args := range []string{
		"tcp 10.88.200.200:80", "http http://10.88.200.200/", // nobody is there
		"http :8080/slow", "http http://127.0.0.1:7070/", "http https://localhost:7070/", "grpc 9090 --service slow", "grpc 7070",
		"all alive -- http :8080/slow", "any tcp 7072 -- http :8080/slow",
	} {
		running.Go(func() {
			ctx, cancel := f.node.context()
			defer cancel()
			began := time.Now()
			answer, err := f.node.Runtime.ExecSync(ctx, &runtime.ExecSyncRequest{
				ContainerId: f.server, Cmd: strings.Fields("sardine-probe " + args), Timeout: 1,
			})
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s: %v, %v, want DeadlineExceeded", args, answer, err)
			}
			if took := time.Since(began); took < 900*time.Millisecond || took > testnode.Patience {
				t.Errorf("%s: it took %v, want a second", args, took)
			}
		})
	}
	running.Wait()
}

// leaveNoThreads wants that probes leave no threads behind. The daemon's runtime keeps a few that it needed at one moment, more of them
// on a busy node, and has them for the next time.
func (f *probed) leaveNoThreads(t *testing.T, ask func()) {
	t.Helper()
	var before, after int
	for range 5 {
		before = births.Threads(t, f.node.PID())
		ask()
		for range 100 { // those that end do soon
			if after = births.Threads(t, f.node.PID()); after <= before+4 {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	t.Errorf("the daemon has %d threads, before %d", after, before)
}

// beat: a file that a container touches, then not, then again.
func (f *probed) beat(t *testing.T) {
	n := f.node.In(t)
	volume := filepath.Join(f.kubelet, volumes[0].source)
	beats := f.pod.Run("beats", "exec payload touch /probe-volume/beat 20ms 0", func(c *runtime.ContainerConfig) { c.Mounts = f.mounts() })
	n.Eventually("it beats", func() bool { _, err := os.Stat(filepath.Join(volume, "beat")); return err == nil })
	f.births.Forget()
	for _, path := range []string{"/probe-volume/beat", "volume:probe-volume/beat"} {
		is := func(code int32) func() bool {
			return func() bool {
				answer := n.answersSoon([]string{"file", path, "--validity=400ms"}, beats)
				return answer.GetExitCode() == code
			}
		}
		n.Eventually("it is fresh", is(0))
		if err := os.WriteFile(filepath.Join(volume, "beat.stop"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		n.Eventually("it is stale", is(1))
		if err := os.Remove(filepath.Join(volume, "beat.stop")); err != nil {
			t.Fatal(err)
		}
		n.Eventually("it is fresh again", is(0))
	}
	f.noBirths(t)
	n.StopContainer(beats, 10)
	n.removeContainer(beats)
	f.births.Forget()
}
