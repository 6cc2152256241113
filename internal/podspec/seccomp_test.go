// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func allows(p *specs.LinuxSeccomp, call string) bool {
	return slices.ContainsFunc(p.Syscalls, func(s specs.LinuxSyscall) bool {
		return s.Action == specs.ActAllow && slices.Contains(s.Names, call) && len(s.Args) == 0
	})
}

// TestDefaultProfile follows the capabilities of the container, whichever comes first.
func TestDefaultProfile(t *testing.T) {
	tr := newTranslator(t, testNode())
	for _, add := range [][]string{nil, {"SYS_ADMIN"}, {"SYS_PTRACE", "SYS_ADMIN"}, {"SYS_ADMIN", "SYS_PTRACE"}, nil} {
		c := testContainer()
		c.Config.Linux.SecurityContext.Seccomp = &runtime.SecurityProfile{}
		c.Config.Linux.SecurityContext.Capabilities = &runtime.Capability{AddCapabilities: add}
		r, err := tr.Translate(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := allows(r.Spec.Linux.Seccomp, "mount"), slices.Contains(add, "SYS_ADMIN"); got != want {
			t.Errorf("%q: mount allowed: %v", add, got)
		}
		same := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: slices.Sorted(slices.Values(r.Spec.Process.Capabilities.Bounding))}}}
		if !reflect.DeepEqual(r.Spec.Linux.Seccomp, seccomp.DefaultProfile(same)) {
			t.Errorf("%q: not containerd's profile", add)
		}
	}
	if n := len(tr.seccomp.defaults); n != 3 {
		t.Errorf("%d profiles remembered, want 3", n)
	}
}

func TestProfilesForgotten(t *testing.T) {
	var p seccompProfiles
	for i := range 10 * maxDefaults {
		p.runtimeDefault([]string{fmt.Sprintf("CAP_%d", i)})
	}
	if n := len(p.defaults); n > maxDefaults {
		t.Errorf("%d profiles are kept", n)
	}
	for i := range 10 * maxFiles {
		if _, err := p.localhost(func(string) ([]byte, error) { return []byte("{}"), nil }, fmt.Sprintf("/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.files); n > maxFiles {
		t.Errorf("%d files are kept", n)
	}
}

func TestLocalhostProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.json")
	tr := newTranslator(t, testNode())
	run := func(content string) (*specs.LinuxSeccomp, error) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := testContainer()
		c.Config.Linux.SecurityContext.Seccomp = &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_Localhost, LocalhostRef: path}
		r, err := tr.Translate(c)
		if err != nil {
			return nil, err
		}
		return r.Spec.Linux.Seccomp, nil
	}
	first, err := run(`{"defaultAction":"SCMP_ACT_ALLOW"}`)
	if err != nil || first.DefaultAction != specs.ActAllow {
		t.Fatal(first, err)
	}
	if again, _ := run(`{"defaultAction":"SCMP_ACT_ALLOW"}`); again != first {
		t.Error("the same profile was parsed twice")
	}
	if changed, _ := run(`{"defaultAction":"SCMP_ACT_TRACE"}`); changed.DefaultAction != specs.ActTrace {
		t.Error("the change was not seen")
	}
	if _, err := run(`{`); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}
