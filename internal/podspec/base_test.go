// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fullSpec has a value in every field of Linux that the JSON tells.
func fullSpec(t *testing.T) *specs.Spec {
	t.Helper()
	s := &specs.Spec{}
	fill(reflect.ValueOf(s).Elem(), 0)
	return s
}

func fill(v reflect.Value, depth int) {
	if depth > 8 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	}
}

// pointers collects what two values could share.
func pointers(v reflect.Value, seen map[uintptr]string, where string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			seen[v.Pointer()] = where
			pointers(v.Elem(), seen, where)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			pointers(v.Field(i), seen, where+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if v.Len() > 0 {
			seen[v.Pointer()] = where
		}
		for i := range v.Len() {
			pointers(v.Index(i), seen, where+"[]")
		}
	case reflect.Map:
		if !v.IsNil() {
			seen[v.Pointer()] = where
		}
		for it := v.MapRange(); it.Next(); {
			pointers(it.Value(), seen, where+"[]")
		}
	}
}

func TestDeepCopy(t *testing.T) {
	s := fullSpec(t)
	c := deepCopy(s)
	if !reflect.DeepEqual(s, c) {
		t.Fatal("the copy differs")
	}
	mine, theirs := map[uintptr]string{}, map[uintptr]string{}
	pointers(reflect.ValueOf(s), mine, "")
	pointers(reflect.ValueOf(c), theirs, "")
	for p, where := range theirs {
		if mine[p] != "" {
			t.Errorf("%s is shared", where)
		}
	}
	if len(theirs) < 100 {
		t.Errorf("only %d pointers were looked at", len(theirs))
	}
}

// TestUnshared: two containers have nothing in common but the seccomp profile.
func TestUnshared(t *testing.T) {
	c := kubeletContainer()
	before, err := json.Marshal(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, base := range map[string]*specs.Spec{"default": nil, "base spec": baseSpec(t)} {
		t.Run(name, func(t *testing.T) {
			c.Handler = &Handler{BaseSpec: base}
			tr := newTranslator(t, testNode())
			a, err := tr.Translate(c)
			if err != nil {
				t.Fatal(err)
			}
			b, err := tr.Translate(c)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a.Spec, b.Spec) {
				t.Error("the same container becomes two specs")
			}
			if a.Spec.Linux.Seccomp != b.Spec.Linux.Seccomp {
				t.Error("the profile was made twice")
			}
			a.Spec.Linux.Seccomp = nil
			mine, theirs := map[uintptr]string{}, map[uintptr]string{}
			pointers(reflect.ValueOf(a.Spec), mine, "")
			pointers(reflect.ValueOf(b.Spec), theirs, "")
			pointers(reflect.ValueOf(tr.defaults), theirs, "default")
			pointers(reflect.ValueOf(base), theirs, "base")
			pointers(reflect.ValueOf(c.Config.Command), theirs, "command")
			for p, where := range mine {
				if theirs[p] != "" {
					t.Errorf("%s is shared with %s", where, theirs[p])
				}
			}
		})
	}
	if after, _ := json.Marshal(c.Config); string(after) != string(before) {
		t.Error("the request was changed")
	}
}

// baseSpec is one an administrator might write.
func baseSpec(t *testing.T) *specs.Spec {
	t.Helper()
	s, err := defaultSpec()
	if err != nil {
		t.Fatal(err)
	}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}}
	s.Process.Env = []string{"A=base", "B=base", "PATH=/base"}
	s.Process.User = specs.User{UID: 3, GID: 4, AdditionalGids: []uint32{9}}
	s.Process.Capabilities.Inheritable = []string{"CAP_CHOWN"}
	s.Process.Capabilities.Ambient = []string{"CAP_CHOWN"}
	s.Process.NoNewPrivileges = true
	s.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: "/hook"}}} //nolint:staticcheck // NVIDIA's hook is of this kind
	s.Annotations = map[string]string{"base": "1"}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActLog}
	s.Linux.MaskedPaths = []string{"/proc/base"}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs"})
	return s
}

func TestBaseSpec(t *testing.T) {
	c := testContainer()
	c.Handler = &Handler{BaseSpec: baseSpec(t)}
	c.Image.Config.Env = []string{"B=image"}
	s := translate(t, testNode(), c).Spec
	if len(s.Process.Rlimits) != 1 || s.Hooks == nil || s.Annotations["base"] != "1" || s.Linux.Seccomp == nil {
		t.Errorf("limits, hooks, annotations or the profile of the base are lost: %+v", s)
	}
	if want := "A=base B=image " + defaultPath + " HOSTNAME=pod-host"; strings.Join(s.Process.Env, " ") != want {
		t.Errorf("environment %q, want %q", s.Process.Env, want)
	}
	if u := s.Process.User; u.UID != 3 || u.GID != 4 || !reflect.DeepEqual(u.AdditionalGids, []uint32{4, 9}) {
		t.Errorf("user %+v", u)
	}
	c.Config.Linux.SecurityContext.RunAsUser = &runtime.Int64Value{Value: 5}
	if u := translate(t, testNode(), c).Spec.Process.User; u.UID != 5 || !reflect.DeepEqual(u.AdditionalGids, []uint32{0}) {
		t.Errorf("another user has the base's groups: %+v", u)
	}
	if s.Process.NoNewPrivileges || s.Process.Capabilities.Ambient != nil || len(s.Process.Capabilities.Inheritable) != 1 {
		t.Errorf("privileges %+v", s.Process)
	}
	if len(s.Linux.MaskedPaths) != 0 {
		t.Errorf("masked paths %q", s.Linux.MaskedPaths)
	}
	for _, m := range s.Mounts {
		if m.Destination == "/run" {
			t.Error("/run hides the image's")
		}
	}
}

// TestEmptyBaseSpec: whatever a base leaves out is not missed.
func TestEmptyBaseSpec(t *testing.T) {
	c := kubeletContainer()
	c.Handler = &Handler{BaseSpec: &specs.Spec{}}
	if s := translate(t, testNode(), c).Spec; s.Process.Cwd != "/" || len(s.Linux.Namespaces) != 6 {
		t.Errorf("%+v", s)
	}
}

func TestDisableProcMount(t *testing.T) {
	n := testNode()
	n.DisableProcMount = true
	c := testContainer()
	c.Config.Linux.SecurityContext.MaskedPaths = []string{"/x"}
	s := translate(t, n, c).Spec
	if !contains(s.Linux.MaskedPaths, "/proc/kcore") || contains(s.Linux.MaskedPaths, "/x") || !contains(s.Linux.ReadonlyPaths, "/proc/sys") {
		t.Errorf("masked %q, read-only %q", s.Linux.MaskedPaths, s.Linux.ReadonlyPaths)
	}
}
