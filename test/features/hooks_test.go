// SPDX-License-Identifier: Apache-2.0

package features

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func splitWords(s string) []string { return strings.Fields(s) }

// recorder is a hook that appends its name to a file and keeps the state it was given.
func recorder(dir, name string) []specs.Hook {
	script := "cat >" + filepath.Join(dir, name) + "; echo " + name + " >>" + filepath.Join(dir, "order")
	return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}}
}

func TestHooks(t *testing.T) {
	b := newBox(t)
	dir := t.TempDir()
	got, err := b.run(t, "cat /started; cat /order", func(s *specs.Spec) {
		s.Annotations = map[string]string{"org.example.note": "kept"}
		s.Hooks = &specs.Hooks{
			Prestart:        recorder(dir, "prestart"), //nolint:staticcheck // deprecated, and still used
			CreateRuntime:   recorder(dir, "createRuntime"),
			CreateContainer: recorder(dir, "createContainer"),
			StartContainer:  recorder("/", "started"),
			Poststart:       recorder(dir, "poststart"),
			Poststop:        recorder(dir, "poststop"),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil || string(order) != "prestart\ncreateRuntime\ncreateContainer\npoststart\npoststop\n" {
		t.Errorf("order %q, %v", order, err)
	}
	state := func(text, status string, alive bool) {
		t.Helper()
		var s specs.State
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Errorf("state %q: %v", text, err)
			return
		}
		if s.ID == "" || s.Version == "" || string(s.Status) != status || !filepath.IsAbs(s.Bundle) || s.Annotations["org.example.note"] != "kept" || (s.Pid != 0) != alive {
			t.Errorf("%s: state %+v", status, s)
		}
	}
	inContainer, _, _ := strings.Cut(got.out, "started")
	state(inContainer, "created", true)
	for name, status := range map[string]string{"prestart": "creating", "createRuntime": "creating", "createContainer": "creating", "poststart": "running", "poststop": "stopped"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		state(string(text), status, status != "stopped")
	}
}

func TestFailingHooks(t *testing.T) {
	b := newBox(t)
	fails := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo no such luck >&2; exit 3"}}}
	slow := []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: pointer(1)}}
	missing := []specs.Hook{{Path: "/no/hook"}}
	b.refuse(t, []refusal{
		{"createRuntime", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: fails} }, "no such luck", nil},
		{"createContainer", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: fails} }, "no such luck", nil},
		{"startContainer", func(s *specs.Spec) { s.Hooks = &specs.Hooks{StartContainer: fails} }, "no such luck", nil},
		{"timeout outside", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: slow} }, "sleep", nil},
		{"timeout inside", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: slow} }, "timed out after 1 s", nil},
		{"missing", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: missing} }, "/no/hook", nil},
		{"relative", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "hook"}}} }, "hook", nil},
	})
}

// Hooks that enter the container's mount namespace, as device vendors' do, find its root
// file system there, below the bundle, with the mounts in place.
func TestHookFindsRootInMountNamespace(t *testing.T) {
	b := newBox(t)
	seen := filepath.Join(t.TempDir(), "seen")
	script := `state=$(cat)
pid=$(echo "$state" | sed 's/.*"pid":\([0-9]*\).*/\1/')
bundle=$(echo "$state" | sed 's/.*"bundle":"\([^"]*\)".*/\1/')
nsenter -t $pid -m ls $bundle/rootfs/bin/busybox $bundle/rootfs/dev/null | wc -l >` + seen + `
ls -A $bundle/rootfs | wc -l >>` + seen
	_, err := b.run(t, "true", func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(seen); err != nil || string(text) != "2\n0\n" {
		t.Errorf("entries inside and outside the namespace: %q, %v", text, err)
	}
}
