// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/apis/core"
)

// pod has the annotations, given in YAML, and the containers app and side, of which side has a readiness probe.
// The sidecar proxy and the init container setup come first.
func pod(t *testing.T, annotations string) *core.Pod {
	t.Helper()
	text := `
apiVersion: v1
kind: Pod
metadata:
  name: pod
  namespace: default
  annotations:
    other: untouched
` + indent(annotations) + `
spec:
  initContainers:
    - {name: setup, image: registry.example/setup}
    - {name: proxy, image: registry.example/proxy, restartPolicy: Always}
  containers:
    - {name: app, image: registry.example/app}
    - {name: side, image: registry.example/side, readinessProbe: {httpGet: {port: 80}}}
`
	return decode(t, []byte(text))[0].(*core.Pod)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// probes are those of all containers, one a line.
func probes(t *testing.T, p *core.Pod) string {
	t.Helper()
	spec := versioned(t, p).(*corev1.Pod).Spec
	var lines []string
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		for _, probe := range []struct {
			kind string
			*corev1.Probe
		}{{"liveness", c.LivenessProbe}, {"readiness", c.ReadinessProbe}, {"startup", c.StartupProbe}} {
			if probe.Probe == nil {
				continue
			}
			what := "not exec"
			if probe.Exec != nil {
				what = fmt.Sprintf("%q", probe.Exec.Command)
			}
			lines = append(lines, fmt.Sprintf("%s.%s %s delay %d period %d timeout %d failures %d successes %d", c.Name, probe.kind, what,
				probe.InitialDelaySeconds, probe.PeriodSeconds, probe.TimeoutSeconds, probe.FailureThreshold, probe.SuccessThreshold))
		}
	}
	return strings.Join(lines, "\n")
}

const (
	// Of the kubelet, when nothing is set.
	defaults = " delay 0 period 10 timeout 1 failures 3 successes 1"
	sideKept = `side.readiness not exec` + defaults
)

// wellFormed are annotations, and the probes that they add to the one of the container side.
var wellFormed = map[string]string{
	`probe.sardine.run/liveness: file /probe-volume/probe validity=30s`: `
app.liveness ["sardine-probe" "file" "/probe-volume/probe" "--validity=30s"]` + defaults,
	`probe.sardine.run/readiness: file volume:data-1/a=b/.probe validity=1m30.5s`: `
app.readiness ["sardine-probe" "file" "volume:data-1/a=b/.probe" "--validity=1m30.5s"]` + defaults,
	`probe.sardine.run/startup: tcp 6379`: `
app.startup ["sardine-probe" "tcp" "6379"]` + defaults,
	`probe.sardine.run/startup: tcp [::1]:65535`: `
app.startup ["sardine-probe" "tcp" "[::1]:65535"]` + defaults,
	`probe.sardine.run/liveness: http :8080/healthz?full=1&x status=200-299,404 header=X-Probe=a=b header=Y=`: `
app.liveness ["sardine-probe" "http" ":8080/healthz?full=1&x" "--status=200-299,404" "--header=X-Probe=a=b" "--header=Y="]` + defaults,
	`probe.sardine.run/liveness: http https://127.0.0.1:8443/`: `
app.liveness ["sardine-probe" "http" "https://127.0.0.1:8443/"]` + defaults,
	`probe.sardine.run/liveness: http http://localhost`: `
app.liveness ["sardine-probe" "http" "http://localhost"]` + defaults,
	`probe.sardine.run/liveness: grpc localhost:9090 service=my.Service`: `
app.liveness ["sardine-probe" "grpc" "localhost:9090" "--service=my.Service"]` + defaults,
	`probe.sardine.run/liveness: alive`: `
app.liveness ["sardine-probe" "alive"]` + defaults,
	`probe.sardine.run/liveness: any tcp 80 -- file /a validity=1h period=5s -- alive`: `
app.liveness ["sardine-probe" "any" "tcp" "80" "--" "file" "/a" "--validity=1h" "--" "alive"] delay 0 period 5 timeout 1 failures 3 successes 1`,
	// Every setting, before, between and after the words of the question, on lines of their own.
	`
probe.sardine.run/readiness: |
  period=1m30s
  tcp	timeout=2s 80
  initial-delay=0s  failure-threshold=7
  success-threshold=2
`: `
app.readiness ["sardine-probe" "tcp" "80"] delay 0 period 90 timeout 2 failures 7 successes 2`,
	`probe.sardine.run/startup: alive initial-delay=1h period=1s failure-threshold=99999 success-threshold=1`: `
app.startup ["sardine-probe" "alive"] delay 3600 period 1 timeout 1 failures 99999 successes 1`,
	// All kinds and containers; what has a probe keeps it, and what is said of a container wins.
	`
probe.sardine.run/liveness: tcp 1
probe.sardine.run/readiness: tcp 2
probe.sardine.run/startup: tcp 3
probe.sardine.run/app.startup: tcp 4
probe.sardine.run/side.liveness: tcp 5
probe.sardine.run/side.readiness: tcp 6
probe.sardine.run/proxy.liveness: tcp 7
probe.sardine.run/proxy.readiness: tcp 8
probe.sardine.run/proxy.startup: tcp 9
`: `
proxy.liveness ["sardine-probe" "tcp" "7"]` + defaults + `
proxy.readiness ["sardine-probe" "tcp" "8"]` + defaults + `
proxy.startup ["sardine-probe" "tcp" "9"]` + defaults + `
app.liveness ["sardine-probe" "tcp" "1"]` + defaults + `
app.readiness ["sardine-probe" "tcp" "2"]` + defaults + `
app.startup ["sardine-probe" "tcp" "4"]` + defaults + `
side.liveness ["sardine-probe" "tcp" "5"]` + defaults,
	`
kubectl.kubernetes.io/default-container: side
probe.sardine.run/liveness: alive
probe.sardine.run/readiness: alive
`: `
side.liveness ["sardine-probe" "alive"]` + defaults,
	`
kubectl.kubernetes.io/default-container: proxy
probe.sardine.run/liveness: alive
`: `
proxy.liveness ["sardine-probe" "alive"]` + defaults,
}

// TestProbes: pods are created with the probes that annotations ask for, and nothing else.
func TestProbes(t *testing.T) {
	c := newCluster(t, nil, policies(t)...)
	for annotations, want := range wellFormed {
		p := pod(t, annotations)
		if err := c.admit(t, admission.Create, p, nil); err != nil {
			t.Errorf("%s\n%v", annotations, err)
			continue
		}
		if got, want := probes(t, p), strings.TrimSpace(want+"\n"+sideKept); got != want {
			t.Errorf("%s\nhas\n%s\nwant\n%s", annotations, got, want)
		}
		// Again, as a pod that is copied.
		again := p.DeepCopy()
		if err := c.admit(t, admission.Create, again, nil); err != nil || !equality.Semantic.DeepEqual(again, p) {
			t.Errorf("%s: the pod is not the same when it is created again: %v\n%s", annotations, err, probes(t, again))
		}
		// Nothing but probes and the name of the container that they are for.
		for i := range p.Spec.Containers {
			p.Spec.Containers[i].LivenessProbe, p.Spec.Containers[i].ReadinessProbe, p.Spec.Containers[i].StartupProbe = nil, nil, nil
		}
		for i := range p.Spec.InitContainers {
			p.Spec.InitContainers[i].LivenessProbe, p.Spec.InitContainers[i].ReadinessProbe, p.Spec.InitContainers[i].StartupProbe = nil, nil, nil
		}
		want := pod(t, annotations)
		want.Spec.Containers[1].ReadinessProbe = nil
		if plain.MatchString(annotations) {
			if _, ok := want.Annotations[defaultContainer]; !ok {
				want.Annotations[defaultContainer] = "app"
			}
		}
		if !equality.Semantic.DeepEqual(p, want) {
			t.Errorf("%s: more than probes changed:\n%+v\nwant\n%+v", annotations, p, want)
		}
	}
}

// plain is an annotation that names no container.
var plain = regexp.MustCompile(`probe[.]sardine[.]run/[a-z]+:`)

const defaultContainer = "kubectl.kubernetes.io/default-container"

// TestUntouched: pods without such annotations, those of files on the node, and whatever is not the creation of a pod.
func TestUntouched(t *testing.T) {
	c := newCluster(t, nil, policies(t)...)
	for _, annotations := range []string{
		"a: b",
		"probe.sardine.runs/liveness: tcp 80",
		"sardine.run/liveness: tcp 80",
		"kubernetes.io/config.mirror: abc\nprobe.sardine.run/liveness: tcp 80",
	} {
		p := pod(t, annotations)
		p.Spec.NodeName = "node"
		if err := c.admit(t, admission.Create, p, nil); err != nil {
			t.Errorf("%s: %v", annotations, err)
		}
		want := pod(t, annotations)
		want.Spec.NodeName = "node"
		if !equality.Semantic.DeepEqual(p, want) {
			t.Errorf("%s: the pod was changed", annotations)
		}
	}
	bare := pod(t, "a: b")
	bare.Annotations = nil
	want := bare.DeepCopy()
	if err := c.admit(t, admission.Create, bare, nil); err != nil || !equality.Semantic.DeepEqual(bare, want) {
		t.Errorf("without annotations: %v", err)
	}
	// A probe of a pod cannot be changed, and a bad annotation must not keep anybody from doing so with the rest.
	for _, annotation := range []string{"probe.sardine.run/liveness: tcp 80", "probe.sardine.run/liveness: nonsense"} {
		p := pod(t, annotation)
		if err := c.admit(t, admission.Update, p, pod(t, "a: b")); err != nil || !equality.Semantic.DeepEqual(p, pod(t, annotation)) {
			t.Errorf("an update: %v", err)
		}
	}
}

// injector is a webhook as those of service meshes: it puts a container before all others.
type injector struct{ *admission.Handler }

func (injector) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	p := a.GetObject().(*core.Pod)
	if p.Spec.Containers[0].Name != "mesh" {
		mesh := *p.Spec.Containers[0].DeepCopy()
		mesh.Name, mesh.LivenessProbe, mesh.ReadinessProbe, mesh.StartupProbe = "mesh", nil, nil, nil
		p.Spec.Containers = append([]core.Container{mesh}, p.Spec.Containers...)
	}
	return nil
}

// TestInjected: a container that comes later takes nobody's probe, and gets its own.
func TestInjected(t *testing.T) {
	c := newCluster(t, injector{admission.NewHandler(admission.Create)}, policies(t)...)
	p := pod(t, "probe.sardine.run/liveness: tcp 1\nprobe.sardine.run/mesh.readiness: tcp 2")
	if err := c.admit(t, admission.Create, p, nil); err != nil {
		t.Fatal(err)
	}
	want := `mesh.readiness ["sardine-probe" "tcp" "2"]` + defaults + `
app.liveness ["sardine-probe" "tcp" "1"]` + defaults + "\n" + sideKept
	if got := probes(t, p); got != want {
		t.Errorf("has\n%s\nwant\n%s", got, want)
	}
}
