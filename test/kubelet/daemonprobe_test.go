// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/test/births"
)

// wellPod has containers whose probes the daemon answers: there is no sardine-probe in their images. %s is the kind of the probe, and
// what else it needs. Only loopback addresses are served, where the kubelet's own probes do not reach. The programs end at once when they
// are told to, on any machine in time.
const wellPod = `
terminationGracePeriodSeconds: 60
containers:
- name: file
  image: {{busybox}}
  command: [payload, touch, /probe/beat, 100ms, "0"]
  volumeMounts: [{name: probe-volume, mountPath: /probe}]
  %[1]s:
    exec: {command: [sardine-probe, file, "volume:probe-volume/beat", --validity, 2s]}
    %[2]s
- name: part
  image: {{busybox}}
  command: [payload, touch, /part/beat, 100ms, "0"]
  volumeMounts: [{name: probe-volume, mountPath: /part, subPath: inner}]
  %[1]s:
    exec: {command: [sardine-probe, file, "volume:probe-volume/beat", --validity=2s]}
    %[2]s
- name: http
  image: {{server}}
  command: [testserver, http, "127.0.0.1:8080"]
  %[1]s:
    exec: {command: [sardine-probe, http, ":8080/healthz"]}
    %[2]s
- name: grpc
  image: {{server}}
  command: [testserver, grpc, "127.0.0.1:9090"]
  %[1]s:
    exec: {command: [sardine-probe, grpc, "9090", --service, good]}
    %[2]s
- name: all
  image: {{server}}
  command: [testserver, tcp, "127.0.0.1:7070", http, "127.0.0.1:7071"]
  %[1]s:
    exec: {command: [sardine-probe, all, alive, --, tcp, "7070", --, http, "http://localhost:7071/healthz"]}
    %[2]s
volumes:
- name: probe-volume
  emptyDir: {}
`

// wellContainers are those of wellPod.
var wellContainers = []string{"file", "part", "http", "grpc", "all"}

// answeredByDaemon skips what other runtimes do not promise.
func answeredByDaemon(t *testing.T) {
	t.Helper()
	if daemonProgram() != "sardined" {
		t.Skipf("%s answers no probes", daemonProgram())
	}
}

// illness returns the file that makes a container of wellPod ill as long as it is there. It is the node's own path, so that nothing is
// executed in the container.
func (p *pod) illness(container string) string {
	p.t.Helper()
	volume := p.node.path("kubelet", "pods", p.status().Metadata.UID, "volumes/kubernetes.io~empty-dir/probe-volume")
	switch container {
	case "file":
		return filepath.Join(volume, "beat.stop")
	case "part":
		return filepath.Join(volume, "inner", "beat.stop")
	}
	return fmt.Sprintf("/proc/%d/root/tmp/ill", p.containerPIDs(container)[0])
}

func (p *pod) fallIll(container string) {
	p.t.Helper()
	if err := os.WriteFile(p.illness(container), nil, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pod) getWell(container string) {
	p.t.Helper()
	if err := os.Remove(p.illness(container)); err != nil {
		p.t.Fatal(err)
	}
}

func testDaemonLiveness(t *testing.T, n *node) {
	answeredByDaemon(t)
	p := n.run(t, fmt.Sprintf(wellPod, "livenessProbe", patientLiveness))
	s := p.ready()
	for _, container := range wellContainers {
		expect(t, "restarts of "+container, s.container(container).RestartCount, 0)
		p.fallIll(container)
	}
	for _, container := range wellContainers {
		how := p.restarted(container)
		expect(t, container+"'s exit code", how.ExitCode, 0) // all of them end by SIGTERM
		expect(t, container+"'s reason", how.Reason, "Completed")
	}
	// What is in a volume is still there; the others have a new file system.
	p.getWell("file")
	p.getWell("part")
	p.ready()
}

func testDaemonReadiness(t *testing.T, n *node) {
	answeredByDaemon(t)
	p := n.run(t, fmt.Sprintf(wellPod, "readinessProbe", "periodSeconds: 1\n    failureThreshold: 1\n    timeoutSeconds: 10"))
	p.ready()
	for _, container := range wellContainers {
		p.fallIll(container)
	}
	p.wait("no container is ready", func(s *podState) bool {
		ready := s.condition("Ready")
		for _, container := range wellContainers {
			ready = ready || s.container(container).Ready
		}
		return !ready
	})
	for _, container := range wellContainers {
		p.getWell(container)
	}
	s := p.ready()
	for _, container := range wellContainers {
		expect(t, "restarts of "+container, s.container(container).RestartCount, 0)
	}
}

// testDaemonStartup: the other probes begin when a file appears, and what never starts is started again.
func testDaemonStartup(t *testing.T, n *node) {
	answeredByDaemon(t)
	p := n.run(t, `
containers:
- name: slow
  image: {{busybox}}
  command: [sleep, 1d]
  volumeMounts: [{name: host, mountPath: /host}]
  startupProbe:
    exec: {command: [sardine-probe, file, /host/started, --validity, 1h]}
    periodSeconds: 1
    failureThreshold: 1000
  livenessProbe:
    exec: {command: [sardine-probe, all, alive, --, file, /host/started, --validity, 1h]}
    periodSeconds: 1
    failureThreshold: 1
    timeoutSeconds: 20
- name: never
  image: {{busybox}}
  command: [sleep, 1d]
  startupProbe:
    exec: {command: [sardine-probe, tcp, "7070"]}
    periodSeconds: 1
    failureThreshold: 2
    timeoutSeconds: 20
volumes:
- name: host
  hostPath: {path: "{{host}}"}
`)
	p.restarted("never")
	s := p.status()
	if started := s.container("slow").Started; started == nil || *started {
		t.Errorf("slow has started: %s", s)
	}
	expect(t, "restarts of slow", s.container("slow").RestartCount, 0)
	p.writeHost("started", "")
	s = p.wait("slow has started", func(s *podState) bool { return s.container("slow").Ready })
	expect(t, "restarts of slow", s.container("slow").RestartCount, 0)
}

// testStale: a pod is restarted because its probe file went stale, and no process was started by the probe, neither while it succeeded
// nor when it failed. Nothing else happens on the node meanwhile.
func testStale(t *testing.T, n *node) {
	answeredByDaemon(t)
	p := n.run(t, `
terminationGracePeriodSeconds: 60
containers:
- name: main
  image: {{busybox}}
  command: [payload, touch, /probe-volume/probe, 100ms, "0"]
  volumeMounts: [{name: probe-volume, mountPath: /probe-volume}]
  livenessProbe:
    exec: {command: [sardine-probe, file, /probe-volume/probe, --validity, 1500ms]}
    periodSeconds: 1
    failureThreshold: 15
    timeoutSeconds: 10
volumes:
- name: probe-volume
  emptyDir: {}
`)
	before := p.ready()
	expect(t, "the program in the image", p.sh("main", "which sardine-probe || echo none"), "none")
	started := births.Watch(t, n.daemon.PID())
	p.awaitProbes("main", "successful", 3)
	volume := n.path("kubelet", "pods", before.Metadata.UID, "volumes/kubernetes.io~empty-dir/probe-volume")
	if err := os.WriteFile(filepath.Join(volume, "probe.stop"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.awaitProbes("main", "failed", 2) // the fifteenth one has the container started again: this test may be slow
	if processes := started.List(); len(processes) > 0 {
		t.Errorf("while it was probed, the daemon started processes:\n%s", strings.Join(processes, "\n"))
	}
	how := p.restarted("main")
	expect(t, "exit code", how.ExitCode, 0) // of SIGTERM, which the program minds
	if len(started.List()) == 0 {
		t.Error("the record of processes lacks the container's own: it does not work")
	}
	if err := os.Remove(filepath.Join(volume, "probe.stop")); err != nil {
		t.Fatal(err)
	}
	expect(t, "the container is another one", p.ready().container("main").ContainerID == before.container("main").ContainerID, false)
	log, err := os.ReadFile(n.path("kubelet.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"file /probe-volume/probe: modified", "failed liveness probe, will be restarted"} {
		expect(t, fmt.Sprintf("the kubelet says %q", why), strings.Contains(string(log), why), true)
	}
}

// awaitProbes waits until the kubelet has counted so many more liveness probes with a result.
func (p *pod) awaitProbes(container, result string, count int) {
	p.t.Helper()
	first := p.probes(container, result)
	eventually(p.t, fmt.Sprintf("%d probes are %s", count, result), func() error {
		if more := p.probes(container, result) - first; more < count {
			return fmt.Errorf("there are %d", more)
		}
		return nil
	})
}

// probes is the kubelet's counter.
func (p *pod) probes(container, result string) int {
	p.t.Helper()
	text, err := p.node.kubelet.api.get("/metrics/probes")
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "prober_probe_total{") {
			continue
		}
		has := func(label, value string) bool { return strings.Contains(line, fmt.Sprintf("%s=%q", label, value)) }
		if has("pod", p.fullName()) && has("container", container) && has("probe_type", "Liveness") && has("result", result) {
			fields := strings.Fields(line)
			number, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return int(number)
		}
	}
	return 0
}
