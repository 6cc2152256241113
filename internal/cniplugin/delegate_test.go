// SPDX-License-Identifier: Apache-2.0

package cniplugin_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// delegating calls the plugin that it is told to.
func delegating(to string) func(context.Context, *cniplugin.Call) (types.Result, error) {
	return func(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
		return c.DelegateAdd(ctx, to)
	}
}

func TestDelegates(t *testing.T) {
	inner := &spy{do: func(_ context.Context, c *cniplugin.Call) (types.Result, error) {
		if c.ContainerID != "a" || c.IfName != "eth0" || c.NetNS != "/missing" || string(c.Config) != conf {
			t.Errorf("the delegate got %+v", c)
		}
		return someResult(), nil
	}}
	outer := &spy{do: delegating("inner")}
	p := &programs{there: map[string]string{"program": `{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.9/24"}]}`}}
	set := cniplugin.NewSet(map[string]cniplugin.Plugin{"inner": inner, "outer": outer}, p)
	if out, err := call(t, set, "outer", "ADD", conf); err != nil || !strings.Contains(string(out), "10.0.0.2/24") {
		t.Errorf("inside: %s, %v", out, err)
	}
	outer.do = delegating("program")
	if out, err := call(t, set, "outer", "ADD", conf); err != nil || !strings.Contains(string(out), "10.0.0.9/24") {
		t.Errorf("a program: %s, %v", out, err)
	}
	inner.do = func(context.Context, *cniplugin.Call) (types.Result, error) { return nil, cniplugin.ErrDeclined }
	p.there["inner"] = p.there["program"]
	outer.do = delegating("inner")
	if out, err := call(t, set, "outer", "ADD", conf); err != nil || !strings.Contains(string(out), "10.0.0.9/24") {
		t.Errorf("declined: %s, %v", out, err)
	}
	outer.do = func(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
		return nil, errors.Join(c.DelegateDel(ctx, "program"), c.DelegateCheck(ctx, "program"), c.DelegateStatus(ctx, "program"), c.DelegateGC(ctx, "program"))
	}
	p.runs = nil
	if _, err := call(t, set, "outer", "DEL", conf); err != nil || len(p.runs) != 4 {
		t.Errorf("the other verbs: %v, %q", err, p.runs)
	}
	outer.do = delegating("missing")
	if _, err := call(t, set, "outer", "ADD", conf); err == nil || !strings.Contains(err.Error(), `"missing"`) {
		t.Errorf("a delegate that is missing: %v", err)
	}
}

// A configuration may say that a plugin is to delegate to itself.
func TestDelegatesToItself(t *testing.T) {
	s := &spy{do: delegating("spy")}
	_, err := call(t, setOf(s, &programs{}), "spy", "ADD", conf)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != types.ErrInvalidNetworkConfig || s.calls > 10 {
		t.Errorf("%d calls: %v", s.calls, err)
	}
}

// STATUS is asked of plugins inside whatever the version, of programs only when it has the verb.
func TestEarlyStatus(t *testing.T) {
	const old = `{"name":"net","cniVersion":"0.4.0"}`
	s := &spy{do: func(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
		return nil, c.DelegateStatus(ctx, "program")
	}}
	p := &programs{there: map[string]string{"program": ""}}
	set := setOf(s, p)
	dirs := []string{"/bin"}
	if err := set.Status(t.Context(), "spy", []byte(old), dirs); err != nil || s.calls != 1 || len(p.runs) != 0 {
		t.Errorf("an old version: %v, %d calls, %q", err, s.calls, p.runs)
	}
	if err := set.Status(t.Context(), "spy", []byte(conf), dirs); err != nil || len(p.runs) != 1 {
		t.Errorf("the present version: %v, %q", err, p.runs)
	}
	if err := set.Status(t.Context(), "missing", []byte(old), dirs); err == nil {
		t.Error("a program that is missing is fine")
	}
	if err := set.Status(t.Context(), "late", []byte(old), dirs); err == nil {
		t.Error("a version that the plugin does not know is fine")
	}
	s.do = func(context.Context, *cniplugin.Call) (types.Result, error) { return nil, errors.New("bad subnet") }
	if err := set.Status(t.Context(), "spy", []byte(old), dirs); err == nil || !strings.Contains(err.Error(), "bad subnet") {
		t.Errorf("a bad configuration: %v", err)
	}
}
