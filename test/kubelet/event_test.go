// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// testEviction: when space for images is short, the kubelet removes those that
// no pod uses, and no pod.
func testEviction(t *testing.T, n *node) {
	uses := n.run(t, sleeper)
	before := uses.ready()
	t.Run("fill", func(t *testing.T) {
		n.run(t, "\nrestartPolicy: Never\ncontainers:\n- name: main\n  image: {{unused}}\n  command: [\"true\"]\n").ended("Succeeded")
	})
	if !n.hasImage(t, n.images.unused) {
		t.Fatal("the image is gone too early")
	}
	n.fill(t)
	eventually(t, "the unused image is gone", func() error {
		if n.hasImage(t, n.images.unused) {
			return errors.New("it is there")
		}
		return nil
	})
	after := uses.ready()
	expect(t, "the container", after.container("main").ContainerID, before.container("main").ContainerID)
	expect(t, "the image in use is there", n.hasImage(t, n.images.busybox), true)
	// As long as the kubelet sees pressure it takes no new pod.
	if err := os.Remove(n.path("root", "ballast")); err != nil {
		t.Error(err)
	}
	eventually(t, "the kubelet takes pods again", func() error { return n.takesPods(t) })
}

// fill leaves less space for images than the kubelet wants, but enough once the
// unused image is gone.
func (n *node) fill(t *testing.T) {
	var stat unix.Statfs_t
	if err := unix.Statfs(n.path("root"), &stat); err != nil {
		t.Fatal(err)
	}
	free := int64(stat.Bavail) * stat.Bsize
	take := free - (pressure-ballast/2)<<20
	if take <= 0 {
		t.Fatalf("only %d bytes are free", free)
	}
	file, err := os.Create(n.path("root", "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Fallocate(int(file.Fd()), 0, 0, take); err != nil {
		t.Fatal(err)
	}
}

// takesPods runs a pod, which fails at once while there is pressure.
func (n *node) takesPods(t *testing.T) error {
	var failed error
	t.Run("again", func(t *testing.T) {
		p := n.run(t, sleeper)
		s := p.wait("the pod is taken or not", func(s *podState) bool { return s.condition("Ready") || s.Status.Phase == "Failed" })
		if s.Status.Phase == "Failed" {
			failed = fmt.Errorf("%s", s)
		}
	})
	return failed
}

func (n *node) hasImage(t *testing.T, ref string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status, err := n.pulls.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	if err != nil {
		t.Fatal(err)
	}
	return status.Image != nil
}

// sleeper is a pod that does nothing.
const sleeper = `
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
`

// survivor is a pod that shows whether it was disturbed: one container counts,
// one answers, however late it begins to, one ends when told to.
const survivor = `
containers:
- name: counts
  image: {{busybox}}
  command: [sh, -c, "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"]
- name: serves
  image: {{busybox}}
  command: [sh, -c, "mkdir /www; touch /www/well; exec httpd -f -p 8080 -h /www"]
  startupProbe:
    httpGet: {port: 8080, path: /well}
    periodSeconds: 1
    failureThreshold: 1000
    timeoutSeconds: 10
  livenessProbe:
    httpGet: {port: 8080, path: /well}
    periodSeconds: 1
    timeoutSeconds: 10
- name: ends
  image: {{busybox}}
  command: [sh, -c, "until test -e /host/go; do sleep 0.1; done; rm /host/go; exit 7"]
  volumeMounts: [{name: host, mountPath: /host}]
volumes:
- name: host
  hostPath: {path: "{{host}}"}
`

func testRestartKubelet(t *testing.T, n *node) {
	p := n.run(t, survivor)
	before := p.ready()
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		n.kubelet.stop(sig)
		n.kubelet.start()
		p.checkUndisturbed(before)
	}
	p.endUnseen("ends", n.kubelet.stopped)
	p.checkCount()
}

func testRestartDaemon(t *testing.T, n *node) {
	p := n.run(t, survivor)
	before := p.ready()
	n.daemon.Kill9()
	n.daemon.Start()
	p.checkUndisturbed(before)
	n.daemon.Restart()
	p.checkUndisturbed(before)
	p.endUnseen("ends", func(do func()) {
		n.daemon.Kill9()
		do()
		n.daemon.Start()
	})
	p.checkCount()
	t.Run("after", func(t *testing.T) { n.run(t, sleeper).ready() })
}

// stopped does something while the kubelet does not run.
func (k *kubelet) stopped(do func()) {
	k.stop(unix.SIGKILL)
	do()
	k.start()
}

// checkUndisturbed: the same containers run, never started again, answer, and
// go on writing their logs.
func (p *pod) checkUndisturbed(before *podState) {
	p.t.Helper()
	line := p.lastLine()
	eventually(p.t, "the log goes on", func() error {
		if now := p.lastLine(); now <= line {
			return fmt.Errorf("the last line is %d, it was %d", now, line)
		}
		return nil
	})
	after := p.ready()
	for _, c := range before.Status.Containers {
		now := after.container(c.Name)
		expect(p.t, "id of "+c.Name, now.ContainerID, c.ContainerID)
		expect(p.t, "restarts of "+c.Name, now.RestartCount, c.RestartCount)
	}
	eventually(p.t, "exec works", func() error {
		_, err := p.exec("counts", "true")
		return err
	})
}

var numberOfLine = regexp.MustCompile(`line (\d+)\n$`)

// lastLine returns the number of the last line of the log, 0 for none.
func (p *pod) lastLine() int {
	text, err := p.node.kubelet.api.get(p.logPath("counts", nil))
	found := numberOfLine.FindSubmatch(text)
	if err != nil || found == nil {
		return 0
	}
	number, _ := strconv.Atoi(string(found[1]))
	return number
}

// checkCount: no line of the log is missing, and none is there twice.
func (p *pod) checkCount() {
	p.t.Helper()
	var numbers []int
	eventually(p.t, "the log is read", func() (err error) {
		numbers, err = readLines(p.logDir("counts"))
		return err
	})
	for i, number := range numbers {
		if number != numbers[0]+i {
			p.t.Fatalf("line %d follows line %d", number, numbers[i-1])
		}
	}
}

// endUnseen has a container end while somebody is away, who must find out how
// it ended.
func (p *pod) endUnseen(container string, away func(func())) {
	p.t.Helper()
	pids := p.containerPIDs(container)
	away(func() {
		p.writeHost("go", "")
		eventually(p.t, container+" has ended", func() error { return gone(pids) })
	})
	how := p.restarted(container)
	if daemonProgram() != "sardined" && how.Reason == "Unknown" {
		p.t.Logf("%s does not know how %s ended", daemonProgram(), container)
	} else {
		expect(p.t, "exit code", how.ExitCode, 7)
		expect(p.t, "reason", how.Reason, "Error")
	}
	expect(p.t, "restarts", p.ready().container(container).RestartCount, 1)
}

// eventedTests are those in which much happens to containers.
var eventedTests = []podTest{
	{"liveness", testLiveness},
	{"init", testInit},
	{"sidecar", testSidecar},
	{"never", testNever},
	{"on-failure", testOnFailure},
	{"graceful", testGraceful},
	{"changed", testChanged},
	{"stats", testStats},
}

// testEvented has the kubelet learn from the runtime's events what happens to
// containers, and from its statistics what pods use.
func testEvented(t *testing.T, n *node) {
	n.kubelet.stop(unix.SIGTERM)
	before := n.kubelet.logged(t)
	n.kubelet.gates = map[string]bool{"EventedPLEG": true, "PodAndContainerStatsFromCRI": true}
	n.kubelet.start()
	t.Run("pods", func(t *testing.T) { n.runAll(t, eventedTests) })
	n.kubelet.checkNames(t, before)
	eventually(t, "the kubelet gets events", func() error {
		text, err := n.kubelet.api.get("/metrics")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "kubelet_evented_pleg_connection_success_count") && !strings.HasSuffix(line, " 0\n") {
				return nil
			}
		}
		return errors.New("it has no connection")
	})
}

// checkNames: a kubelet that does not see a container, or takes an older one for
// the latest, starts the next one under a name that is in use. What was logged
// before does not count.
func (k *kubelet) checkNames(t *testing.T, before []byte) {
	t.Helper()
	log := k.logged(t)[len(before):]
	if refused := regexp.MustCompile(`.*"CreateContainer .*AlreadyExists.*`).Find(log); refused != nil {
		t.Errorf("a container's name was in use: %s", refused)
	}
}

func (k *kubelet) logged(t *testing.T) []byte {
	t.Helper()
	log, err := os.ReadFile(k.node.path("kubelet.log"))
	if err != nil {
		t.Fatal(err)
	}
	return log
}
