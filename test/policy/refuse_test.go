// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/apis/admissionregistration"
)

// malformed are annotations, and what the user is told.
var malformed = map[string]string{
	`probe.sardine.run/liveness: ""`:                                                    `"" does not begin with file, tcp, http, grpc or alive`,
	`probe.sardine.run/liveness: " "`:                                                   `does not begin with`,
	`probe.sardine.run/liveness: exec /bin/true`:                                        `"exec /bin/true" does not begin with file, tcp, http, grpc or alive`,
	`probe.sardine.run/liveness: "[file /a]"`:                                           `does not begin with`,
	`probe.sardine.run/liveness: alive 1`:                                               `"alive 1" is not of the form alive`,
	`probe.sardine.run/liveness: file`:                                                  `"file" is not of the form file PATH validity=DURATION`,
	`probe.sardine.run/liveness: file /a`:                                               `is not of the form file PATH validity=DURATION`,
	`probe.sardine.run/liveness: file a validity=1s`:                                    `is not of the form file PATH`,
	`probe.sardine.run/liveness: file volume:a validity=1s`:                             `is not of the form file PATH`,
	`probe.sardine.run/liveness: file volume:A/b validity=1s`:                           `is not of the form file PATH`,
	`probe.sardine.run/liveness: file /a /b validity=1s`:                                `is not of the form file PATH`,
	`probe.sardine.run/liveness: file /a validity=30`:                                   `is not of the form file PATH`,
	`probe.sardine.run/liveness: file /a validity=-1s`:                                  `is not of the form file PATH`,
	`probe.sardine.run/liveness: file /a validity=1s validity=2s`:                       `is not of the form file PATH`,
	`probe.sardine.run/liveness: file /a validity=1s vality=2s`:                         `is not of the form file PATH`,
	`probe.sardine.run/liveness: file /a validity=0s`:                                   `"file /a validity=0s" has a validity of nothing`,
	`probe.sardine.run/liveness: file /a validity=0.0m0s`:                               `has a validity of nothing`,
	`probe.sardine.run/liveness: file volume:a// validity=1s`:                           `is not of the form file`,
	`probe.sardine.run/liveness: "file /a\0 validity=1s"`:                               `is not of the form file`,
	`probe.sardine.run/liveness: tcp [1:2:3]:80`:                                        `"tcp [1:2:3]:80" has no IP address in brackets`,
	`probe.sardine.run/liveness: http https://[:::]/`:                                   `has no IP address in brackets`,
	`probe.sardine.run/liveness: http :80 header=host=a/b`:                              `has a header Host that is no host`,
	`probe.sardine.run/liveness: file /a validity=100000h`:                              `is not of the form file`,
	`probe.sardine.run/liveness: http :80/%zz`:                                          `is not of the form http`,
	`probe.sardine.run/liveness: http :80 header=A(=b`:                                  `is not of the form http`,
	`probe.sardine.run/liveness: http :80 header=a=b status=200,399-301`:                `has a range of status codes that is empty`,
	`probe.sardine.run/liveness: file /` + strings.Repeat("a", 4000) + ` validity=1s`:   `longer than 4000 bytes`,
	`probe.sardine.run/liveness: tcp`:                                                   `"tcp" is not of the form tcp [HOST:]PORT`,
	`probe.sardine.run/liveness: tcp 0`:                                                 `is not of the form tcp`,
	`probe.sardine.run/liveness: tcp 65536`:                                             `is not of the form tcp`,
	`probe.sardine.run/liveness: tcp db:5432`:                                           `"tcp db:5432" is not of the form tcp [HOST:]PORT, where HOST is an IP address or localhost`,
	`probe.sardine.run/liveness: tcp 256.0.0.1:80`:                                      `is not of the form tcp`,
	`probe.sardine.run/liveness: tcp 80 status=200`:                                     `is not of the form tcp`,
	`probe.sardine.run/liveness: http /healthz`:                                         `"http /healthz" is not of the form http URL`,
	`probe.sardine.run/liveness: http ftp://localhost/`:                                 `is not of the form http`,
	`probe.sardine.run/liveness: http http://example.com/`:                              `is not of the form http`,
	`probe.sardine.run/liveness: http :80 status=2xx`:                                   `is not of the form http`,
	`probe.sardine.run/liveness: http :80 status=200 status=201`:                        `is not of the form http`,
	`probe.sardine.run/liveness: http :80 header=X`:                                     `is not of the form http`,
	`probe.sardine.run/liveness: "http :80 header=X: Y"`:                                `is not of the form http`,
	`probe.sardine.run/liveness: grpc 80 service=a service=b`:                           `"grpc 80 service=a service=b" is not of the form grpc [HOST:]PORT [service=S]`,
	`probe.sardine.run/liveness: grpc http://localhost:80`:                              `is not of the form grpc`,
	`probe.sardine.run/liveness: tcp 80 period=10`:                                      `"period=10" is none of period=10s timeout=1s`,
	`probe.sardine.run/liveness: tcp 80 period=0s`:                                      `"period=0s" is none of`,
	`probe.sardine.run/liveness: tcp 80 period=500ms`:                                   `"period=500ms" is none of`,
	`probe.sardine.run/liveness: tcp 80 timeout=`:                                       `"timeout=" is none of`,
	`probe.sardine.run/liveness: tcp 80 initial-delay=-1s`:                              `"initial-delay=-1s" is none of`,
	`probe.sardine.run/liveness: tcp 80 failure-threshold=0`:                            `"failure-threshold=0" is none of`,
	`probe.sardine.run/liveness: tcp 80 failure-threshold=3s`:                           `"failure-threshold=3s" is none of`,
	`probe.sardine.run/liveness: tcp 80 failure-threshold=1000000`:                      `"failure-threshold=1000000" is none of`,
	`probe.sardine.run/readiness: tcp 80 success-threshold=0`:                           `"success-threshold=0" is none of`,
	`probe.sardine.run/readiness: tcp 80 period=9999999999999999s`:                      `is none of`,
	`probe.sardine.run/liveness: tcp 80 period=1s period=2s`:                            `a setting is given twice`,
	`probe.sardine.run/liveness: tcp 80 period=1s period=1s`:                            `a setting is given twice`,
	`probe.sardine.run/liveness: tcp 80 interval=1s`:                                    `"tcp 80 interval=1s" is not of the form tcp`,
	`probe.sardine.run/liveness: all`:                                                   `"all" does not begin with`,
	`probe.sardine.run/liveness: all --`:                                                `does not begin with`,
	`probe.sardine.run/liveness: all tcp 80 --`:                                         `"tcp 80 --" is not of the form tcp`,
	`probe.sardine.run/liveness: all tcp 80 -- all tcp 81 -- alive`:                     `"all tcp 81" does not begin with`,
	`probe.sardine.run/liveness: any ` + strings.Repeat("alive -- ", 16) + `alive`:      `all and any take 16 probes at most`,
	`probe.sardine.run/livenes: tcp 80`:                                                 `probe.sardine.run/livenes: want probe.sardine.run/liveness, readiness or startup`,
	`probe.sardine.run/liveness.app: tcp 80`:                                            `want probe.sardine.run/liveness`,
	`probe.sardine.run/a.b.liveness: tcp 80`:                                            `want probe.sardine.run/liveness`,
	`probe.sardine.run/App.liveness: tcp 80`:                                            `want probe.sardine.run/liveness`,
	`probe.sardine.run/other.liveness: tcp 80`:                                          `the pod has no container "other" that probes are for`,
	`probe.sardine.run/setup.liveness: tcp 80`:                                          `the pod has no container "setup" that probes are for`,
	"kubectl.kubernetes.io/default-container: gone\nprobe.sardine.run/liveness: tcp 80": `the pod has no container "gone" that probes are for`,
	"probe.sardine.run/liveness: tcp\nprobe.sardine.run/side.startup: http":             `; probe.sardine.run/`,
}

const denied = "ValidatingAdmissionPolicy 'probe.sardine.run' with binding 'probe.sardine.run' denied request: probe.sardine.run/"

// TestMalformed: such annotations are refused, and the user is told why, by the policy and by nobody before it.
func TestMalformed(t *testing.T) {
	c := newCluster(t, nil, policies(t)...)
	for annotation, want := range malformed {
		err := c.admit(t, admission.Create, pod(t, annotation), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), denied) {
			t.Errorf("%s: %v\nwant %s", annotation, err, want)
		}
	}
	// The API server's own words: it comes first.
	if err := c.admit(t, admission.Create, pod(t, "probe.sardine.run/liveness: tcp 80 success-threshold=2"), nil); err == nil ||
		!strings.Contains(err.Error(), "livenessProbe.successThreshold: Invalid value: 2: must be 1") {
		t.Error(err)
	}
}

// TestUnserved: without the policy that makes probes, pods that ask for them are refused, not run without.
func TestUnserved(t *testing.T) {
	var without []runtime.Object
	for _, policy := range policies(t) {
		if !strings.HasPrefix(policy.GetObjectKind().GroupVersionKind().Kind, "Mutating") {
			without = append(without, policy)
		}
	}
	c := newCluster(t, nil, without...)
	err := c.admit(t, admission.Create, pod(t, "probe.sardine.run/liveness: tcp 80"), nil)
	if err == nil || !strings.Contains(err.Error(), "no probe was made of it: is the MutatingAdmissionPolicy probe.sardine.run installed") {
		t.Error(err)
	}
	if err := c.admit(t, admission.Create, pod(t, "probe.sardine.run/side.readiness: tcp 80"), nil); err != nil {
		t.Errorf("a probe that is there already: %v", err)
	}
}

// workloads have a template whose annotations take the place of %s.
var workloads = map[string]string{
	"Deployment": `
apiVersion: apps/v1
kind: Deployment
metadata: {name: w, namespace: default}
spec:
  selector: {matchLabels: {a: b}}
  template:`,
	"CronJob": `
apiVersion: batch/v1
kind: CronJob
metadata: {name: w, namespace: default}
spec:
  schedule: "* * * * *"
  jobTemplate:
   spec:
    template:`,
	"Job": `
apiVersion: batch/v1
kind: Job
metadata: {name: w, namespace: default}
spec:
  template:`,
}

// TestWorkloads: a mistake in a template is told to who applies it. What injected containers need is not known
// there, and old mistakes bother nobody.
func TestWorkloads(t *testing.T) {
	c := newCluster(t, nil, policies(t)...)
	for kind, head := range workloads {
		with := func(annotations, image string) runtime.Object {
			restart := "Always"
			if kind != "Deployment" {
				restart = "Never"
			}
			return decode(t, []byte(head+` {metadata: {labels: {a: b}, annotations: {`+annotations+
				`}}, spec: {restartPolicy: `+restart+`, containers: [{name: app, image: `+image+`}]}}`))[0]
		}
		good, bad := "probe.sardine.run/mesh.liveness: tcp 80", "probe.sardine.run/liveness: tcp"
		if err := c.admit(t, admission.Create, with(good, "a"), nil); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := c.admit(t, admission.Create, with(bad, "a"), nil); err == nil || !strings.Contains(err.Error(), "is not of the form tcp") {
			t.Errorf("%s: %v", kind, err)
		}
		if err := c.admit(t, admission.Update, with(bad, "b"), with(good, "a")); err == nil || !strings.Contains(err.Error(), "is not of the form tcp") {
			t.Errorf("%s: %v", kind, err)
		}
		if err := c.admit(t, admission.Update, with(bad, "b"), with(bad, "a")); err != nil {
			t.Errorf("%s with an old mistake: %v", kind, err)
		}
		if err := c.admit(t, admission.Create, with("a: b", "a"), nil); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// policies are those of deploy/kubernetes as users write them.
func policies(t *testing.T) []runtime.Object {
	t.Helper()
	var found []runtime.Object
	for _, text := range manifests(t) {
		for _, object := range decode(t, text) {
			switch object.(type) {
			case *admissionregistration.MutatingAdmissionPolicy, *admissionregistration.MutatingAdmissionPolicyBinding,
				*admissionregistration.ValidatingAdmissionPolicy, *admissionregistration.ValidatingAdmissionPolicyBinding:
				found = append(found, versioned(t, object))
			}
		}
	}
	if len(found) != 4 {
		t.Fatalf("%d policies and bindings", len(found))
	}
	return found
}
