// SPDX-License-Identifier: Apache-2.0

package cniplugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/kernel"
)

// spy is a plugin that does what the test says, the same for all verbs.
type spy struct {
	do    func(ctx context.Context, c *cniplugin.Call) (types.Result, error)
	calls int
}

func (s *spy) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	s.calls++
	return s.do(ctx, c)
}

func (s *spy) Del(ctx context.Context, c *cniplugin.Call) error { _, err := s.Add(ctx, c); return err }
func (s *spy) Check(ctx context.Context, c *cniplugin.Call) error {
	_, err := s.Add(ctx, c)
	return err
}
func (s *spy) Status(ctx context.Context, c *cniplugin.Call) error {
	_, err := s.Add(ctx, c)
	return err
}
func (s *spy) GC(ctx context.Context, c *cniplugin.Call) error { _, err := s.Add(ctx, c); return err }

// late knows but the last versions.
type late struct{ *spy }

func (late) Versions() version.PluginInfo { return version.VersionsStartingFrom("1.0.0") }

// programs stands for what is executed.
type programs struct {
	version.PluginDecoder
	there map[string]string // output by name
	runs  []string
}

func (p *programs) FindInPath(name string, dirs []string) (string, error) {
	if _, ok := p.there[name]; !ok {
		return "", fmt.Errorf("failed to find plugin %q in path %s", name, dirs)
	}
	return "/bin/" + name, nil
}

func (p *programs) ExecPlugin(_ context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	verb := ""
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, "CNI_COMMAND="); ok {
			verb = v
		}
	}
	p.runs = append(p.runs, path+" "+verb+" "+string(stdin))
	return []byte(p.there[strings.TrimPrefix(path, "/bin/")]), nil
}

const conf = `{"name":"net","cniVersion":"1.1.0","type":"spy"}`

// call calls a plugin of the set as libcni does.
func call(t *testing.T, s *cniplugin.Set, name, verb, config string) ([]byte, error) {
	t.Helper()
	path, err := s.FindInPath(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.ExecPlugin(t.Context(), path, []byte(config), strings.Fields(attached(verb)))
}

func setOf(s *spy, p *programs) *cniplugin.Set {
	return cniplugin.NewSet(map[string]cniplugin.Plugin{"spy": s, "late": late{s}}, p)
}

func TestErrors(t *testing.T) {
	own := types.NewError(types.ErrTryAgainLater, "later", "details")
	for _, test := range []struct {
		name string
		err  error
		code uint
		msg  string
	}{
		{"of the protocol", own, types.ErrTryAgainLater, "later"},
		{"wrapped", fmt.Errorf("while busy: %w", own), types.ErrTryAgainLater, "later"},
		{"another", errors.New("no cable"), types.ErrInternal, "no cable"},
		{"another's context", context.Canceled, types.ErrInternal, "context canceled"},
	} {
		s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) { return nil, test.err }}
		for _, verb := range []string{"ADD", "DEL", "CHECK", "STATUS", "GC"} {
			_, err := call(t, setOf(s, nil), "spy", verb, conf)
			e, ok := err.(*types.Error) //nolint:errorlint // nothing may be around it
			if !ok || e.Code != test.code || e.Msg != test.msg {
				t.Errorf("%s, %s: %#v", test.name, verb, err)
			}
		}
		if s.calls != 5 {
			t.Errorf("%d calls", s.calls)
		}
	}
}

// A panic, also on a thread of its own, is an error of the plugin.
func TestPanic(t *testing.T) {
	for name, blow := range map[string]func(){
		"value": func() { panic("no such port") },
		"nil":   func() { var c *cniplugin.Call; _ = c.NetNS },
	} {
		s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) { blow(); return nil, nil }}
		for _, verb := range []string{"ADD", "GC"} {
			_, err := call(t, setOf(s, nil), "spy", verb, conf)
			var e *types.Error
			if !errors.As(err, &e) || e.Code != types.ErrInternal || !strings.Contains(e.Msg, "spy") {
				t.Errorf("%s, %s: %v", name, verb, err)
			}
		}
	}
}

func TestNoResult(t *testing.T) {
	s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) { return nil, nil }}
	if _, err := call(t, setOf(s, nil), "spy", "ADD", conf); err == nil {
		t.Error("ADD without a result succeeded")
	}
	if out, err := call(t, setOf(s, nil), "spy", "DEL", conf); err != nil || len(out) != 0 {
		t.Errorf("DEL: %q, %v", out, err)
	}
}

// The result has the configuration's version, and is what types.PrintResult writes for a program.
func TestResultVersions(t *testing.T) {
	s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) { return someResult(), nil }}
	for _, v := range version.All.SupportedVersions() {
		out, err := call(t, setOf(s, nil), "spy", "ADD", fmt.Sprintf(`{"name":"net","cniVersion":%q}`, v))
		if err != nil {
			t.Errorf("%s: %v", v, err)
			continue
		}
		want, err := someResult().GetAsVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := want.PrintTo(&text); err != nil {
			t.Fatal(err)
		}
		if compact(t, out) != compact(t, []byte(text.String())) {
			t.Errorf("%s: got %s, want %s", v, out, text.String())
		}
		if r, err := version.NewResult(v, out); err != nil || r.Version() != v {
			t.Errorf("%s: %v, %v", v, r, err)
		}
	}
}

func someResult() *types100.Result {
	_, route, _ := net.ParseCIDR("0.0.0.0/0")
	mtu := 1400
	return &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{{Name: "br0", Mac: "02:00:00:00:00:01"}, {Name: "eth0", Sandbox: "/n", Mtu: mtu}},
		IPs: []*types100.IPConfig{{
			Interface: types100.Int(1), Address: net.IPNet{IP: net.IPv4(10, 0, 0, 2), Mask: net.CIDRMask(24, 32)}, Gateway: net.IPv4(10, 0, 0, 1),
		}},
		Routes: []*types.Route{{Dst: *route, MTU: mtu}},
		DNS:    types.DNS{Nameservers: []string{"10.0.0.53"}},
	}
}

func TestVersionsOfPlugin(t *testing.T) {
	s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) { return someResult(), nil }}
	set := setOf(s, nil)
	_, err := call(t, set, "late", "ADD", `{"name":"net","cniVersion":"0.4.0"}`)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != types.ErrIncompatibleCNIVersion || !strings.Contains(e.Details, `["1.0.0" "1.1.0"]`) {
		t.Errorf("error %v", err)
	}
	if _, err := call(t, set, "late", "ADD", conf); err != nil {
		t.Error(err)
	}
	out, err := call(t, set, "late", "VERSION", "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := set.Decode(out)
	if err != nil || len(info.SupportedVersions()) != 2 {
		t.Errorf("versions %s: %v", out, err)
	}
}

func TestDeclined(t *testing.T) {
	s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) {
		return nil, fmt.Errorf("backend firewalld: %w", cniplugin.ErrDeclined)
	}}
	_, err := call(t, setOf(s, &programs{}), "spy", "ADD", conf)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != types.ErrUnsupportedField || !strings.Contains(e.Msg, "firewalld") || !strings.Contains(e.Msg, "failed to find") {
		t.Errorf("without a program: %v", err)
	}
	p := &programs{there: map[string]string{"spy": `{"cniVersion":"1.1.0"}`}}
	out, err := call(t, setOf(s, p), "spy", "ADD", conf)
	if err != nil || string(out) != p.there["spy"] || len(p.runs) != 1 || p.runs[0] != "/bin/spy ADD "+conf {
		t.Errorf("with a program: %s, %v, %q", out, err, p.runs)
	}
}

func TestContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &spy{do: func(ctx context.Context, _ *cniplugin.Call) (types.Result, error) {
		cancel()
		return nil, fmt.Errorf("dump: %w", ctx.Err())
	}}
	set := setOf(s, nil)
	for range 2 { // during the call, and before it
		_, err := set.ExecPlugin(ctx, "inside:spy", []byte(conf), strings.Fields(attached("ADD")))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	if s.calls != 1 {
		t.Errorf("%d calls", s.calls)
	}
}

// FuzzConfig finds that no configuration and no environment makes more of a call than an error of the protocol.
func FuzzConfig(f *testing.F) {
	for _, test := range refusals {
		f.Add(test.environ, test.config)
	}
	f.Fuzz(func(t *testing.T, environ, config string) {
		s := &spy{do: func(_ context.Context, c *cniplugin.Call) (types.Result, error) {
			var p cniplugin.Previous
			if err := json.Unmarshal(c.Config, &p); err != nil {
				return nil, err
			}
			r, err := p.Result()
			if err != nil || r == nil {
				return someResult(), err
			}
			return r, nil
		}}
		_, err := setOf(s, nil).ExecPlugin(t.Context(), "inside:spy", []byte(config), strings.Fields(environ))
		if e := (*types.Error)(nil); err != nil && (!errors.As(err, &e) || e.Code == 0 || e.Msg == "") {
			t.Errorf("error %#v", err)
		}
	})
}

// TestPanicElsewhere: a plugin enters namespaces on threads, and does two things at the same time.
func TestPanicElsewhere(t *testing.T) {
	for name, blow := range map[string]func() error{
		"thread":    func() error { kernel.OnThread(func() { panic("inside") }); return nil },
		"goroutine": func() error { return cniplugin.Beside(func() error { panic("inside") })() },
		"thread of a goroutine": func() error {
			return cniplugin.Beside(func() error { kernel.OnThread(func() { panic("inside") }); return nil })()
		},
	} {
		s := &spy{do: func(context.Context, *cniplugin.Call) (types.Result, error) { return someResult(), blow() }}
		if _, err := call(t, setOf(s, nil), "spy", "ADD", conf); err == nil || !strings.Contains(err.Error(), "inside") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestBeside(t *testing.T) {
	want, goOn := errors.New("no room"), make(chan struct{})
	wait := cniplugin.Beside(func() error { <-goOn; return want })
	close(goOn)
	if err := wait(); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
}
