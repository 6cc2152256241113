// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/node"
)

var update = flag.Bool("update", false, "write testdata/commands.json anew")

// TestManifests: the API server takes every file.
func TestManifests(t *testing.T) {
	files := manifests(t)
	if len(files) < 8 {
		t.Errorf("only %d files", len(files))
	}
	for name, text := range files {
		for _, object := range decode(t, text) {
			if d, ok := object.(*apps.Deployment); ok {
				d.Namespace = "default" // as kubectl does
			}
			for _, problem := range validate(t, object) {
				t.Errorf("%s: %v", name, problem)
			}
		}
	}
}

// TestRuntimeClasses: the handlers are those that a daemon has.
func TestRuntimeClasses(t *testing.T) {
	source, err := os.ReadFile("../../internal/criplugin/handlers.go")
	if err != nil {
		t.Fatal(err)
	}
	var handlers []string
	for _, object := range decode(t, manifests(t)["runtimeclass.yaml"]) {
		class := object.(*node.RuntimeClass)
		handlers = append(handlers, class.Handler)
		if class.Name != class.Handler {
			t.Errorf("class %s has the handler %s", class.Name, class.Handler)
		}
	}
	if !slices.Equal(handlers, []string{"sardine", "runc"}) || !bytes.Contains(source, []byte(`const ourHandler = "sardine"`)) {
		t.Errorf("handlers %q", handlers)
	}
}

// TestPrepull: every image is mounted, for only then it is kept; and the images of the examples are in the list.
func TestPrepull(t *testing.T) {
	spec := decode(t, manifests(t)["prepull.yaml"])[0].(*apps.DaemonSet).Spec.Template.Spec
	mounts := map[string]bool{}
	for _, mount := range spec.Containers[0].VolumeMounts {
		mounts[mount.Name] = true
	}
	images := map[string]bool{}
	for _, volume := range spec.Volumes {
		if volume.Image == nil || !mounts[volume.Name] {
			t.Errorf("volume %s is no image, or not mounted", volume.Name)
			continue
		}
		images[volume.Image.Reference] = true
	}
	used := map[string]bool{}
	for _, p := range examples(t) {
		for _, container := range p.Spec.Containers {
			used[container.Image] = true
		}
	}
	if !maps.Equal(images, used) {
		t.Errorf("%v\nare pulled, the examples have\n%v", images, used)
	}
}

// examples are the pods of the examples' workloads, by file.
func examples(t *testing.T) map[string]*core.Pod {
	t.Helper()
	found := map[string]*core.Pod{}
	for name, text := range manifests(t) {
		if filepath.Dir(name) != "examples" {
			continue
		}
		for _, object := range decode(t, text) {
			template := object.(*apps.Deployment).Spec.Template
			found[name] = &core.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
			found[name].Name, found[name].Namespace = "pod", "default"
		}
	}
	return found
}

// TestCommands collects the commands of all probes that examples, documentation and the tests of the policy make.
// testdata/commands.json has them for test/deploy, which has the daemon's own parser read them.
func TestCommands(t *testing.T) {
	c := newCluster(t, nil, policies(t)...)
	var commands [][]string
	for name, p := range examples(t) {
		if err := c.admit(t, admission.Create, p, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		made := execs(t, p)
		if len(made) < 2 {
			t.Errorf("%s: %d probes", name, len(made))
		}
		commands = append(commands, made...)
	}
	for _, annotations := range slices.Concat(slices.Collect(maps.Keys(wellFormed)), documented(t)) {
		p := pod(t, annotations)
		if err := c.admit(t, admission.Create, p, nil); err != nil {
			t.Errorf("%s: %v", annotations, err)
		}
		commands = append(commands, execs(t, p)...)
	}
	slices.SortFunc(commands, slices.Compare)
	commands = slices.CompactFunc(commands, slices.Equal)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, command := range commands {
		if err := encoder.Encode(command); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/commands.json", text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("testdata/commands.json"); err != nil || !bytes.Equal(text.Bytes(), want) {
		t.Errorf("testdata/commands.json is out of date: go test -C test/policy -update (%v)\n%s", err, &text)
	}
}

// execs are the commands of a pod's exec probes, all of which must be ours.
func execs(t *testing.T, p *core.Pod) [][]string {
	t.Helper()
	spec := versioned(t, p).(*corev1.Pod).Spec
	var commands [][]string
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if probe == nil || probe.Exec == nil {
				continue
			}
			if probe.Exec.Command[0] != "sardine-probe" {
				t.Errorf("command %q", probe.Exec.Command)
			}
			commands = append(commands, probe.Exec.Command)
		}
	}
	return commands
}

var annotation = regexp.MustCompile(`(?m)^[# ]*(probe\.sardine\.run/(?:app\.|proxy\.)?(?:liveness|readiness|startup): [^"].*)$`)

// documented are the annotations that the documentation shows on lines of their own.
func documented(t *testing.T) []string {
	t.Helper()
	texts := append(slices.Collect(maps.Values(manifests(t))), documentation(t))
	var found []string
	for _, text := range texts {
		for _, match := range annotation.FindAllSubmatch(text, -1) {
			found = append(found, string(match[1]))
		}
	}
	if len(found) < 8 {
		t.Errorf("only %d annotations are shown", len(found))
	}
	return found
}

func documentation(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDocumentation: every file, class and image list is explained, what users are told on a mistake is what they see,
// and the versions of Kubernetes are those that were tried.
func TestDocumentation(t *testing.T) {
	text := documentation(t)
	for name := range manifests(t) {
		if !bytes.Contains(text, []byte("`"+filepath.Base(name)+"`")) && !bytes.Contains(text, []byte("`kubernetes/"+name+"`")) {
			t.Errorf("%s is not explained", name)
		}
	}
	c := newCluster(t, nil, policies(t)...)
	err := c.admit(t, admission.Create, pod(t, "probe.sardine.run/liveness: tcp db:5432"), nil)
	if _, told, _ := strings.Cut(err.Error(), "denied request: "); told == "" || !bytes.Contains(text, []byte("\n"+told+"\n")) {
		t.Errorf("the README does not show %q", told)
	}
	for _, row := range []string{"| " + validatingSince + " | yes | no", "| " + mutatingSince + ", 1.35 | yes | as v1beta1"} {
		if !bytes.Contains(text, []byte(row)) {
			t.Errorf("the README has no row %q", row)
		}
	}
}

// TestBeta: what README.md says to do for older clusters makes the same policy.
func TestBeta(t *testing.T) {
	policy := manifests(t)["probe-policy.yaml"]
	beta := bytes.ReplaceAll(policy, []byte("k8s.io/v1"), []byte("k8s.io/v1beta1"))
	command := "\n    sed s,k8s.io/v1,k8s.io/v1beta1, deploy/kubernetes/probe-policy.yaml | kubectl apply -f -\n"
	if !bytes.Contains(documentation(t), []byte(command)) {
		t.Error("the README says something else")
	}
	stable, older := decode(t, policy), decode(t, beta)
	if len(stable) != 2 || len(older) != 2 {
		t.Fatalf("%d and %d objects", len(stable), len(older))
	}
	for i := range stable {
		if a, b := text(t, stable[i]), text(t, older[i]); a != b {
			t.Errorf("v1\n%s\nv1beta1\n%s", a, b)
		}
	}
}

func text(t *testing.T, object runtime.Object) string {
	t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
