// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// pod is a static pod of a subtest.
type pod struct {
	t    testing.TB
	node *node
	name string // as the manifest has it
	host string // a directory of the node for the pod's hostPath volumes
}

// run has the kubelet run a pod, removed at the end of the subtest. The spec is
// the pod's, in YAML; in it {{busybox}}, {{host}} and the like are replaced.
func (n *node) run(t testing.TB, spec string) *pod {
	t.Helper()
	p := n.pod(t)
	p.apply(spec)
	return p
}

// pod names a pod after the subtest, and makes its directory.
func (n *node) pod(t testing.TB) *pod {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "/")
	name = strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(name))
	p := &pod{t: t, node: n, name: name, host: n.path("host", name)}
	// Not root in the container may write there too.
	if err := errors.Join(os.Mkdir(p.host, 0o755), os.Chmod(p.host, 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("status of the pod: %v", p.describe())
		}
		p.remove()
	})
	return p
}

func (p *pod) manifest() string { return p.node.path("manifests", p.name+".yaml") }

// apply writes the manifest, or replaces it. A file whose name begins with a
// dot is none to the kubelet.
func (p *pod) apply(spec string) {
	p.t.Helper()
	spec = strings.NewReplacer(
		"{{busybox}}", p.node.images.busybox, "{{server}}", p.node.images.server, "{{user}}", p.node.images.user, "{{unused}}", p.node.images.unused,
		"{{missing}}", p.node.images.missing, "{{host}}", p.host,
	).Replace(spec)
	text := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  labels: {test: %s}\nspec:\n%s", p.name, p.name, indent(spec))
	hidden := p.node.path("manifests", "."+p.name)
	if err := errors.Join(os.WriteFile(hidden, []byte(text), 0o600), os.Rename(hidden, p.manifest())); err != nil {
		p.t.Fatal(err)
	}
}

// indent puts a spec below the key it belongs to. Pods get little time to end,
// unless they want more.
func indent(spec string) string {
	if !strings.Contains(spec, "terminationGracePeriodSeconds") {
		spec = "terminationGracePeriodSeconds: 1\n" + spec
	}
	return "  " + strings.ReplaceAll(spec, "\n", "\n  ") + "\n"
}

// remove takes the manifest away and waits until the kubelet has forgotten the
// pod and no process of it is left.
func (p *pod) remove() {
	p.t.Helper()
	var pids []int
	if _, err := p.find(); err == nil {
		pids = p.pids()
	}
	_ = os.Remove(p.manifest())
	eventually(p.t, "the pod is gone", func() error {
		if _, err := p.find(); err == nil {
			return errors.New("the kubelet lists it")
		}
		return errors.Join(p.noRunningSandbox(), gone(pids))
	})
}

func gone(pids []int) error {
	for _, pid := range pids {
		if testnode.Alive(pid) {
			return fmt.Errorf("process %d lives", pid)
		}
	}
	return nil
}

func (p *pod) noRunningSandbox() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := p.node.cri.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{
		LabelSelector: map[string]string{"io.kubernetes.pod.name": p.fullName()},
		State:         &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
	}})
	if err == nil && len(list.Items) > 0 {
		return fmt.Errorf("sandbox %s is ready", list.Items[0].Id)
	}
	return err
}

// fullName is what the kubelet calls a static pod: with the node's name behind.
func (p *pod) fullName() string { return p.name + "-node" }

func (p *pod) find() (*podState, error) {
	list, err := p.node.kubelet.api.pods()
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Metadata.Name == p.fullName() {
			return &list.Items[i], nil
		}
	}
	return nil, fmt.Errorf("the kubelet knows no pod %s", p.fullName())
}

// status returns the pod's state, which must be known.
func (p *pod) status() *podState {
	p.t.Helper()
	s, err := p.find()
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *pod) describe() string {
	s, err := p.find()
	if err != nil {
		return err.Error()
	}
	return s.String()
}

// wait waits until the pod's state is as a test wants it.
func (p *pod) wait(what string, is func(*podState) bool) *podState {
	p.t.Helper()
	var last *podState
	eventually(p.t, what, func() error {
		s, err := p.find()
		if err != nil {
			return err
		}
		if !is(s) {
			return fmt.Errorf("the pod's status is %s", s)
		}
		last = s
		return nil
	})
	return last
}

// ready waits until all containers are.
func (p *pod) ready() *podState {
	p.t.Helper()
	return p.wait("the pod is ready", func(s *podState) bool { return s.condition("Ready") })
}

// ended waits until the pod has, as it should.
func (p *pod) ended(phase string) *podState {
	p.t.Helper()
	return p.wait("the pod has ended: "+phase, func(s *podState) bool { return s.Status.Phase == phase })
}

// terminated waits until a container has ended for good, and returns how.
func (p *pod) terminated(container string) termination {
	p.t.Helper()
	s := p.wait(container+" has terminated", func(s *podState) bool { return s.container(container).State.Terminated != nil })
	return *s.container(container).State.Terminated
}

// restarted waits until a container has been started again, and returns how it
// had ended.
func (p *pod) restarted(container string) termination {
	p.t.Helper()
	s := p.wait(container+" runs again", func(s *podState) bool {
		c := s.container(container)
		return c.RestartCount > 0 && c.State.Running != nil && c.LastState.Terminated != nil
	})
	return *s.container(container).LastState.Terminated
}

// logs returns what a container has written.
func (p *pod) logs(container string) string {
	p.t.Helper()
	text, err := p.node.kubelet.api.get(p.logPath(container, nil))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p *pod) logPath(container string, query url.Values) string {
	return "/containerLogs/default/" + p.fullName() + "/" + container + "?" + query.Encode()
}

// says waits until a container's log has a text.
func (p *pod) says(container, text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s says %q", container, text), func() error {
		log, err := p.node.kubelet.api.get(p.logPath(container, nil))
		if err != nil {
			return err
		}
		if !strings.Contains(string(log), text) {
			return fmt.Errorf("its log is %q", log)
		}
		return nil
	})
}

// sh runs a shell command in a container and returns its standard output
// without white space around it.
func (p *pod) sh(container, command string) string {
	p.t.Helper()
	out, err := p.exec(container, "sh", "-c", command)
	if err != nil {
		p.t.Fatalf("%s: %v", command, err)
	}
	return strings.TrimSpace(out)
}

// exec runs a command in a container.
func (p *pod) exec(container string, command ...string) (string, error) {
	p.t.Helper()
	return p.stream(p.t.Context(), "exec", container, session{command: command})
}

// hostFile waits until a container has written a file to its hostPath volume,
// and returns what is in it.
func (p *pod) hostFile(name string) string {
	p.t.Helper()
	var text []byte
	eventually(p.t, name+" is written", func() (err error) {
		text, err = os.ReadFile(filepath.Join(p.host, name))
		return err
	})
	return string(text)
}

// writeHost gives the pod a file in its hostPath volume.
func (p *pod) writeHost(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.host, name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// expect fails the test if the two are not the same.
func expect[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
