// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package seccomp

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/plan"
)

// defaultProfile is what containerd gives to a container with CAP_CHOWN and CAP_KILL.
func defaultProfile(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	b, err := os.ReadFile("testdata/containerd-default.json")
	if err != nil {
		t.Fatal(err)
	}
	var p specs.LinuxSeccomp
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestCompileRemembers(t *testing.T) {
	var c Compiler
	var first sync.Map
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			f, err := c.Compile(defaultProfile(t))
			if err != nil {
				t.Error(err)
			}
			first.Store(f, true)
		})
	}
	wg.Wait()
	n := 0
	first.Range(func(_, _ any) bool { n++; return true })
	if n != 1 || c.recent.Len() != 1 {
		t.Errorf("one profile gave %d filters, %d are kept", n, c.recent.Len())
	}
}

func TestCompileForgetsTheOldest(t *testing.T) {
	c := Compiler{Size: 2}
	compile := func(errno uint) *plan.Seccomp {
		f, err := c.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	one := compile(1)
	two := compile(2)
	if compile(1) != one {
		t.Error("the first of two was forgotten")
	}
	compile(3)
	if compile(1) != one {
		t.Error("the one used last was forgotten")
	}
	if compile(2) == two {
		t.Error("three are kept where two were asked for")
	}
	if len(c.entries) != 2 || c.recent.Len() != 2 {
		t.Errorf("%d and %d entries, want 2", len(c.entries), c.recent.Len())
	}
}

func TestNothingToRestrict(t *testing.T) {
	var c Compiler
	if f, err := c.Compile(&specs.LinuxSeccomp{}); f != nil || err != nil {
		t.Errorf("got %v, %v", f, err)
	}
}

// TestKeyDependsOnEveryField changes each field of a profile in turn.
func TestKeyDependsOnEveryField(t *testing.T) {
	one := uint(1)
	profile := func() *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{
			DefaultAction: "a", DefaultErrnoRet: &one, Architectures: []specs.Arch{"b"}, Flags: []specs.LinuxSeccompFlag{"c"},
			ListenerPath: "d", ListenerMetadata: "e",
			Syscalls: []specs.LinuxSyscall{{
				Names: []string{"f"}, Action: "g", ErrnoRet: &one,
				Args: []specs.LinuxSeccompArg{{Index: 1, Value: 2, ValueTwo: 3, Op: "h"}},
			}},
		}
	}
	seen := map[key]string{keyOf(profile()): "unchanged"}
	check := func(name string, p *specs.LinuxSeccomp) {
		k := keyOf(p)
		if other, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[k] = name
	}
	types := []func(*specs.LinuxSeccomp) reflect.Value{
		func(p *specs.LinuxSeccomp) reflect.Value { return reflect.ValueOf(p).Elem() },
		func(p *specs.LinuxSeccomp) reflect.Value { return reflect.ValueOf(&p.Syscalls[0]).Elem() },
		func(p *specs.LinuxSeccomp) reflect.Value { return reflect.ValueOf(&p.Syscalls[0].Args[0]).Elem() },
	}
	for _, value := range types {
		n := value(profile()).NumField()
		for i := range n {
			p := profile()
			f := value(p).Field(i)
			f.SetZero()
			check(value(p).Type().Field(i).Name, p)
		}
	}
	p := profile()
	p.Flags = []specs.LinuxSeccompFlag{}
	check("empty Flags", p)
}

func TestErrors(t *testing.T) {
	big, one := uint(4096), uint(1)
	rule := func(s specs.LinuxSyscall) specs.LinuxSeccomp {
		return specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{s}}
	}
	arg := func(a specs.LinuxSeccompArg) specs.LinuxSeccomp {
		return rule(specs.LinuxSyscall{Names: []string{"chmod"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{a}})
	}
	for _, test := range []struct {
		want    string
		profile specs.LinuxSeccomp
	}{
		{`defaultAction: unknown action "SCMP_ACT_X"`, specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"}},
		{`defaultAction: unknown action ""`, specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{{Names: []string{"x"}, Action: specs.ActAllow}}}},
		{"would also stop the calls that hand the listener over", specs.LinuxSeccomp{DefaultAction: specs.ActNotify}},
		{"errnoRet 4096 is too large", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &big}},
		{"errnoRet is for SCMP_ACT_ERRNO", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: &one}},
		{"a rule has no names", rule(specs.LinuxSyscall{Action: specs.ActErrno})},
		{"a name is empty", rule(specs.LinuxSyscall{Names: []string{""}, Action: specs.ActErrno})},
		{`chmod: unknown action "x"`, rule(specs.LinuxSyscall{Names: []string{"chmod"}, Action: "x"})},
		{"argument 6; a system call has 6", arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo})},
		{`unknown operator "=="`, arg(specs.LinuxSeccompArg{Op: "=="})},
		{`unknown architecture "SCMP_ARCH_VAX"`, specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_VAX"}}},
		{`unknown architecture "x86"`, specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"x86"}}},
		{`unknown flag "SECCOMP_FILTER_FLAG_X"`, specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_X"}}},
		{"needs listenerPath", rule(specs.LinuxSyscall{Names: []string{"chmod"}, Action: specs.ActNotify})},
		{"SCMP_ACT_NOTIFY cannot be used for write", rule(specs.LinuxSyscall{Names: []string{"read", "write"}, Action: specs.ActNotify})},
	} {
		var c Compiler
		_, err := c.Compile(&test.profile)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%v: not an invalid argument", err)
		}
		if len(c.entries) != 0 {
			t.Errorf("%v: the failure was remembered", err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM"],"syscalls":[{"names":["read","socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":3,"valueTwo":4,"op":"SCMP_CMP_MASKED_EQ"}]}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":5}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p specs.LinuxSeccomp
		if json.Unmarshal(b, &p) != nil {
			return
		}
		var c Compiler
		filter, err := c.Compile(&p)
		if err != nil || filter == nil {
			return
		}
		if len(filter.Program) == 0 || len(filter.Program)%instructionSize != 0 {
			t.Fatalf("a program of %d bytes", len(filter.Program))
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	profile := defaultProfile(b)
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c Compiler
			if _, err := c.Compile(profile); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		var c Compiler
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Compile(profile); err != nil {
				b.Fatal(err)
			}
		}
	})
}
