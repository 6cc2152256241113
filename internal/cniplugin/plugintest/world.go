// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// World is a host with one plugin inside, and its pods.
type World struct {
	Host    *netif.Namespace
	Kind    string         // of the plugin
	Base    map[string]any // what each configuration has besides addresses of 10.88.0.0/16
	Plugins *cniplugin.Set
	Rules   *Rules // what the packet filter would have
	Reaper  *netif.Reaper
	DataDir string // of host-local
}

// NewWorld makes a host for a plugin of type kind, which make returns beside further ones, by type.
func NewWorld(t testing.TB, kind string, base map[string]any, make func(*World) map[string]cniplugin.Plugin) *World {
	t.Helper()
	w := &World{Host: NewNamespace(t), Kind: kind, Base: base, Rules: &Rules{There: map[string]string{}}, DataDir: t.TempDir()}
	w.Reaper = netif.NewReaper(w.Host)
	t.Cleanup(func() { w.Reaper.Close() })
	w.Plugins = cniplugin.NewSet(make(w), nil)
	return w
}

// Call calls the plugin's verb; pod may be nil, for c.NetNS.
func (w *World) Call(ctx context.Context, verb string, c Call, pod *netif.Namespace) (string, error) {
	path, err := w.Plugins.FindInPath(w.Kind, nil)
	if err != nil {
		return "", err
	}
	id, ifName := c.ContainerID, c.IfName
	if id == "" {
		id = "pod"
	}
	if ifName == "" {
		ifName = "eth0"
	}
	netns := c.NetNS
	if pod != nil {
		netns = pod.Path()
	}
	out, err := w.Plugins.ExecPlugin(ctx, path, []byte(c.Config), []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + id,
		"CNI_IFNAME=" + ifName, "CNI_NETNS=" + netns, "CNI_ARGS=" + c.Args, "CNI_PATH=" + Tools()})
	return string(out), err
}

// Config merges options, JSON in which DATADIR is w.DataDir, into a configuration.
func (w *World) Config(options string) string {
	conf := map[string]any{
		"cniVersion": "1.1.0", "name": "net", "type": w.Kind,
		"ipam": map[string]any{"type": "host-local", "dataDir": w.DataDir, "subnet": "10.88.0.0/16"},
	}
	maps.Copy(conf, w.Base)
	overlay(conf, strings.ReplaceAll(options, "DATADIR", w.DataDir))
	text, _ := json.Marshal(conf)
	return string(text)
}

// overlay replaces keys; null removes them.
func overlay(conf map[string]any, options string) {
	var more map[string]any
	if options == "" {
		return
	}
	if err := json.Unmarshal([]byte(options), &more); err != nil {
		panic(options + ": " + err.Error())
	}
	for k, v := range more {
		if conf[k] = v; v == nil {
			delete(conf, k)
		}
	}
}

// With adds a prevResult.
func With(config, result string) string {
	conf := map[string]any{}
	overlay(conf, config)
	overlay(conf, `{"prevResult":`+result+`}`)
	text, _ := json.Marshal(conf)
	return string(text)
}

// Rules remembers what the packet filter would.
type Rules struct {
	There map[string]string // by kind and owner
	mu    sync.Mutex
}

// Set has value under key; "" removes it.
func (r *Rules) Set(key, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.There[key] = value; value == "" {
		delete(r.There, key)
	}
}

// Count is how many there are.
func (r *Rules) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.There)
}

// Masquerade stands for masquerade.Rules.
type Masquerade struct{ *Rules }

// Add is of rules with both backends, of which iptables does not exist.
func (m Masquerade) Add(_ context.Context, backend string, nets []*net.IPNet, network, ifName, id string) error {
	m.Set("masq "+network+ifName+id, fmt.Sprint(backend, nets))
	if backend == "iptables" {
		return fmt.Errorf("no iptables here")
	}
	return nil
}

// Del removes what Add made.
func (m Masquerade) Del(_ context.Context, _ []*net.IPNet, network, ifName, id string) error {
	m.Set("masq "+network+ifName+id, "")
	return nil
}

// GC notes how many are valid.
func (m Masquerade) GC(_ context.Context, network string, valid []types.GCAttachment) error {
	m.Set("gc "+network, fmt.Sprint(len(valid)))
	return nil
}
