// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

// inner is a plugin inside the daemon that notes its calls. With ipam in its configuration it asks that plugin for a result,
// otherwise it passes on what it got.
type inner struct {
	mu    sync.Mutex
	calls []string // VERB NAME
	fail  error
}

type innerConfig struct {
	cniplugin.Previous
	Label string `json:"label"`
	IPAM  struct {
		Type string `json:"type"`
	} `json:"ipam"`
	Valid []types.GCAttachment `json:"cni.dev/valid-attachments"`
	Args  struct {
		PortMappings []any `json:"portMappings"`
	} `json:"runtimeConfig"`
}

func (p *inner) note(verb string, c *cniplugin.Call) (*innerConfig, error) {
	var conf innerConfig
	if err := json.Unmarshal(c.Config, &conf); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, verb+" "+conf.Label)
	return &conf, p.fail
}

// noted are the calls since the last time.
func (p *inner) noted() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := strings.Join(p.calls, ", ")
	p.calls = nil
	return calls
}

func (p *inner) failing(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

func (p *inner) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	conf, err := p.note("ADD", c)
	if err != nil {
		return nil, err
	}
	if conf.IPAM.Type != "" {
		return c.DelegateAdd(ctx, conf.IPAM.Type)
	}
	r, err := conf.Result()
	if err == nil && r == nil {
		err = errors.New("no prevResult")
	}
	return r, err
}

func (p *inner) Del(ctx context.Context, c *cniplugin.Call) error {
	return p.other("DEL", c, func(ipam string) error { return c.DelegateDel(ctx, ipam) })
}

func (p *inner) Check(ctx context.Context, c *cniplugin.Call) error {
	return p.other("CHECK", c, func(ipam string) error { return c.DelegateCheck(ctx, ipam) })
}

func (p *inner) Status(ctx context.Context, c *cniplugin.Call) error {
	return p.other("STATUS", c, func(ipam string) error { return c.DelegateStatus(ctx, ipam) })
}

func (p *inner) GC(ctx context.Context, c *cniplugin.Call) error {
	return p.other("GC", c, func(ipam string) error { return c.DelegateGC(ctx, ipam) })
}

func (p *inner) other(verb string, c *cniplugin.Call, delegate func(string) error) error {
	conf, err := p.note(verb, c)
	if err != nil {
		return err
	}
	if verb == "DEL" || verb == "CHECK" {
		if r, err := conf.Result(); err != nil || r != nil && len(r.IPs) != 1 {
			return fmt.Errorf("prevResult %+v: %w", r, err)
		} else if r == nil && verb == "CHECK" {
			return errors.New("no prevResult")
		}
	}
	for _, v := range conf.Valid {
		p.note(fmt.Sprintf("valid %s/%s", v.ContainerID, v.IfName), c)
	}
	if conf.IPAM.Type == "" {
		return nil
	}
	return delegate(conf.IPAM.Type)
}

// innerAs has p run inside the daemon as the types first and last.
func innerAs(p *inner) func(*network.Config) {
	return func(c *network.Config) {
		c.Plugins = func(binaries invoke.Exec) *cniplugin.Set {
			return cniplugin.NewSet(map[string]cniplugin.Plugin{"first": p, "last": p}, binaries)
		}
	}
}

// mixed is a chain of a plugin inside whose delegate is a program, a program, and a plugin inside.
func (n *node) mixed(version string) string {
	fake := fmt.Sprintf(`"control":%q,"addresses":["10.1.0.2/16"]`, n.control)
	return fmt.Sprintf(`{"cniVersion":%q,"name":"blue","plugins":[
		{"type":"first","label":"one","ipam":{"type":"fake"},%s},{"type":"fake",%s},{"type":"last","label":"two","capabilities":{"portMappings":true}}]}`,
		version, fake, fake)
}

func TestMixedChain(t *testing.T) {
	for _, version := range []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) { mixedChain(t, version) })
	}
}

func mixedChain(t *testing.T, version string) {
	p := &inner{}
	n := newNode(t, innerAs(p))
	n.write("10-a.conflist", n.mixed(version))
	n.must(n.Ready())
	if got := p.noted(); got != "STATUS one, STATUS two" {
		t.Errorf("ready: %s", got)
	}
	status := n.verbs()
	if version == "1.1.0" && status != "STATUS STATUS" || version != "1.1.0" && status != "" {
		t.Errorf("programs were asked: %s", status)
	}
	a, r := n.setup("abc")
	if got := p.noted(); got != "ADD one, ADD two" || r.IP != "10.1.0.2" {
		t.Errorf("setup: %s, %s", got, r.IP)
	}
	want := "ADD ADD DEL DEL"
	if version >= "0.4.0" { // has the verb
		n.must(n.Check(context.Background(), "abc", a.NetNS))
		if got := p.noted(); got != "CHECK one, CHECK two" {
			t.Errorf("check: %s", got)
		}
		want = "ADD ADD CHECK CHECK DEL DEL"
	}
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if got := p.noted(); got != "DEL two, DEL one" {
		t.Errorf("teardown: %s", got)
	}
	if got := strings.TrimSpace(strings.TrimPrefix(n.verbs(), status)); got != want {
		t.Errorf("programs: %s", got)
	}
	n.nothingLeft()
}

// verbs lists what programs were executed for.
func (n *node) verbs() string {
	n.t.Helper()
	var verbs []string
	for _, c := range n.calls("") {
		verbs = append(verbs, c.Command)
	}
	return strings.Join(verbs, " ")
}

// What fails in the chain is undone, and its error arrives with its class.
func TestMixedChainFails(t *testing.T) {
	p := &inner{}
	n := newNode(t, innerAs(p))
	n.write("10-a.conflist", n.mixed("1.1.0"))
	n.behave("ADD", "fail 11 not now")
	_, err := n.Setup(context.Background(), n.attachment("abc"))
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "not now") {
		t.Errorf("a delegate that fails: %v", err)
	}
	n.behave("ADD", "")
	p.failing(types.NewError(types.ErrInvalidNetworkConfig, "bad subnet", ""))
	_, err = n.Setup(context.Background(), n.attachment("abc"))
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), `type="first" failed (add): bad subnet`) {
		t.Errorf("a plugin inside that fails: %v", err)
	}
	p.failing(nil) // DEL is tried again
	n.nothingLeft()
}

func TestGarbageInside(t *testing.T) {
	p := &inner{}
	n := newNode(t, innerAs(p))
	n.write("10-a.conflist", n.mixed("1.1.0"))
	a, _ := n.setup("abc")
	p.noted()
	n.Keep(context.Background(), []string{"abc"})
	want := "GC one, valid abc/eth0 one, GC two, valid abc/eth0 two"
	var got []string
	testnode.Eventually(t, "garbage is collected", func() bool {
		if more := p.noted(); more != "" {
			got = append(got, more)
		}
		return strings.Join(got, ", ") == want
	})
	testnode.Eventually(t, "programs collect it too", func() bool { return len(n.calls("GC")) == 2 })
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
}

// A plugin inside needs no program, and says what is wrong with its configuration.
func TestReadyInside(t *testing.T) {
	p := &inner{}
	n := newNode(t, innerAs(p), func(c *network.Config) { c.BinDirs = []string{c.StateDir} })
	n.write("10-a.conflist", `{"cniVersion":"0.4.0","name":"blue","plugins":[{"type":"first"}]}`)
	n.must(n.Ready())
	p.failing(types.NewError(types.ErrInvalidNetworkConfig, "bad subnet", "10.0.0.0/99"))
	n.write("10-a.conflist", `{"cniVersion":"0.4.0","name":"blue","plugins":[{"type":"last"}]}`)
	err := n.Ready()
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), `network "blue": plugin last: bad subnet; 10.0.0.0/99`) {
		t.Errorf("a bad configuration: %v", err)
	}
	n.write("10-a.conflist", `{"cniVersion":"1.0.0","name":"blue","plugins":[{"type":"first","ipam":{"type":"nobody"}}]}`)
	p.failing(nil)
	if err := n.Ready(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a delegate that is missing: %v", err)
	}
}

// Records of pods that programs attached are as good for plugins inside, and the other way round.
func TestTurnedOnAndOff(t *testing.T) {
	p := &inner{}
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	a, _ := n.setup("abc")
	n.config.Plugins = func(binaries invoke.Exec) *cniplugin.Set {
		return cniplugin.NewSet(map[string]cniplugin.Plugin{"fake": p}, binaries)
	}
	n.restart()
	n.must(n.Check(context.Background(), "abc", a.NetNS))
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if got := p.noted(); got != "CHECK , DEL " || len(n.calls("DEL")) != 0 {
		t.Errorf("inside: %q, programs: %s", got, n.verbs())
	}
	n.nothingLeft()
}
