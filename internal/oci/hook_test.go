// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/plan"
)

func shell(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"A=b"}}
}

func TestHooksInThePlan(t *testing.T) {
	five := 5
	req, _ := translate(t, func(s *specs.Spec, _ *Options) {
		s.Annotations = map[string]string{"k": "v"}
		s.Hooks = &specs.Hooks{
			Prestart:        []specs.Hook{{Path: "/prestart"}}, //nolint:staticcheck // deprecated and still required
			CreateRuntime:   []specs.Hook{{Path: "/createRuntime"}},
			CreateContainer: []specs.Hook{{Path: "/createContainer", Timeout: &five, Env: []string{}}},
			StartContainer:  []specs.Hook{{Path: "/startContainer", Args: []string{"x", "y"}}},
			Poststop:        []specs.Hook{{Path: "/poststop"}},
		}
		if got := HostHooks(s.Hooks); len(got) != 2 || got[0].Path != "/prestart" || got[1].Path != "/createRuntime" {
			t.Errorf("host hooks %+v", got)
		}
	})
	p := req.Plan
	if !p.HostHooks {
		t.Error("the daemon's hooks are not waited for")
	}
	if want := []plan.Hook{{Path: "/createContainer", Args: []string{"/createContainer"}, Env: []string{}, Timeout: 5}}; !reflect.DeepEqual(p.CreateHooks, want) {
		t.Errorf("got %+v", p.CreateHooks)
	}
	if want := []plan.Hook{{Path: "/startContainer", Args: []string{"x", "y"}, Env: []string{defaultPath}}}; !reflect.DeepEqual(p.StartHooks, want) {
		t.Errorf("got %+v", p.StartHooks)
	}
	var state specs.State
	if err := json.Unmarshal(p.StartState, &state); err != nil {
		t.Fatal(err)
	}
	want := specs.State{Version: specs.Version, ID: "c1", Status: specs.StateCreated, Pid: 1, Bundle: "/run/bundle", Annotations: map[string]string{"k": "v"}}
	if !reflect.DeepEqual(state, want) {
		t.Errorf("state %+v", state)
	}
	if HostHooks(nil) != nil {
		t.Error("hooks out of nothing")
	}
}

func TestRunHooks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	state := specs.State{Version: specs.Version, ID: "c1", Status: specs.StateCreating, Pid: 7, Bundle: dir}
	hooks := []specs.Hook{shell("cat > state; echo $A > env; echo $0 > args"), shell("test -e state && echo $PATH > path")}
	hooks[1].Env = nil
	if err := RunHooks(context.Background(), hooks, state); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("state")
	if err != nil {
		t.Fatal(err)
	}
	var got specs.State
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, state) {
		t.Errorf("state %s", b)
	}
	for file, want := range map[string]string{"env": "b\n", "args": "sh\n", "path": strings.TrimPrefix(defaultPath, "PATH=") + "\n"} {
		if b, err := os.ReadFile(file); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v, want %q", file, b, err, want)
		}
	}
}

func TestHookFails(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "ran")
	hooks := []specs.Hook{shell("echo no such luck >&2; exit 3"), shell("touch " + marker)}
	err := RunHooks(context.Background(), hooks, specs.State{})
	if err == nil || !strings.Contains(err.Error(), "hook /bin/sh: exit status 3: no such luck") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the hook after the failed one was run")
	}
	err = RunAllHooks(context.Background(), hooks, specs.State{})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error("the hook after the failed one was not run")
	}
	err = RunHooks(context.Background(), []specs.Hook{{Path: "/no/such"}}, specs.State{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	err = RunHooks(context.Background(), []specs.Hook{shell("head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1")}, specs.State{})
	if err == nil || len(err.Error()) > maxHookOutput+100 || !strings.HasSuffix(err.Error(), "end") {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// TestHookTimeout: what the hook has started ends with it.
func TestHookTimeout(t *testing.T) {
	one := 1
	h := shell("sleep 600 & sleep 600")
	h.Timeout = &one
	start := time.Now()
	err := RunHooks(context.Background(), []specs.Hook{h}, specs.State{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "timed out after 1 s") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}
