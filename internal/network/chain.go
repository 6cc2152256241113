// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// chain is a network whose plugins run inside the daemon, as far as they do. It does ADD and DEL as libcni does, which
// decodes and encodes configurations and results ten times for each plugin; all other verbs are libcni's.
type chain struct {
	list  *libcni.NetworkConfigList
	links []link
}

// link is one plugin of a chain.
type link struct {
	plugin       string // its type
	described    string // in errors, as libcni does
	head         []byte // its configuration with the network's name and version, without the closing brace
	capabilities []string
}

// newChain prepares a list. nil when a configuration has already what is added for each call: that is left to libcni.
func newChain(list *libcni.NetworkConfigList) *chain {
	c := &chain{list: list}
	for _, p := range list.Plugins {
		l, ok := newLink(list, p)
		if !ok {
			return nil
		}
		c.links = append(c.links, l)
	}
	return c
}

func newLink(list *libcni.NetworkConfigList, p *libcni.PluginConfig) (l link, ok bool) {
	full, err := libcni.InjectConf(p, map[string]any{"name": list.Name, "cniVersion": list.CNIVersion})
	if err != nil {
		return l, false
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(full.Bytes, &keys); err != nil {
		return l, false
	}
	for key := range keys { // encoding/json does not care for case
		if strings.EqualFold(key, "prevResult") || strings.EqualFold(key, "runtimeConfig") {
			return l, false
		}
	}
	l = link{plugin: p.Network.Type, described: fmt.Sprintf("type=%q", p.Network.Type), head: bytes.TrimSuffix(full.Bytes, []byte("}"))}
	if p.Network.Name != "" {
		l.described += fmt.Sprintf(" name=%q", p.Network.Name)
	}
	for name, wanted := range p.Network.Capabilities {
		if wanted {
			l.capabilities = append(l.capabilities, name)
		}
	}
	slices.Sort(l.capabilities)
	return l, true
}

// config is what the plugin gets on standard input when it is a program.
func (l *link) config(capabilities map[string]json.RawMessage, previous []byte) []byte {
	text := slices.Grow(slices.Clone(l.head), len(previous)+1024)
	separator := `,"runtimeConfig":{`
	for _, name := range l.capabilities {
		value, ok := capabilities[name]
		if !ok {
			continue
		}
		key, _ := json.Marshal(name) //nolint:errchkjson // of a string it cannot fail
		text = append(append(append(append(text, separator...), key...), ':'), value...)
		separator = ","
	}
	if separator == "," {
		text = append(text, '}')
	}
	if previous != nil {
		text = append(append(text, `,"prevResult":`...), previous...)
	}
	return append(text, '}')
}

// call has everything but the configuration.
func (n *Networks) call(r *record, ifName, netns string) cniplugin.Call {
	args := make([]string, len(r.Args))
	for i, kv := range r.Args {
		args[i] = kv[0] + "=" + kv[1]
	}
	return cniplugin.Call{ContainerID: r.ID, NetNS: netns, IfName: ifName, Args: strings.Join(args, ";"), Path: n.path}
}

// add attaches to one network. done is how many of its plugins have.
func (n *Networks) add(ctx context.Context, net *network, r *record, netns string) (result types.Result, done int, err error) {
	c := n.chain(net)
	if c == nil {
		result, err = n.cni.AddNetworkList(ctx, net.list, r.runtimeConf(net.ifName, netns))
		return result, len(net.list.Plugins), err
	}
	call := n.call(r, net.ifName, netns)
	var text []byte
	for i := range c.links {
		l := &c.links[i]
		call.Config = l.config(r.Capabilities, text)
		if result, err = n.inside.Add(ctx, l.plugin, call); err != nil {
			return nil, i, fmt.Errorf("plugin %s failed (add): %w", l.described, err)
		}
		if text, err = json.Marshal(result); err != nil {
			return nil, i + 1, fmt.Errorf("result of plugin %s: %w", l.described, err)
		}
	}
	return result, len(c.links), n.cache.add(net, r, netns, text)
}

// del detaches from one network. done is what add said: the plugin after those has failed and, inside, has undone what it did. Its DEL
// may fail for the same reason, which must not keep the others from theirs.
func (n *Networks) del(ctx context.Context, net *network, r *record, netns string, done int) error {
	c := n.chain(net)
	if c == nil {
		return n.cni.DelNetworkList(ctx, net.list, r.runtimeConf(net.ifName, netns))
	}
	previous, known, err := n.previous(net, r.ID)
	if err != nil {
		return err
	}
	if !known {
		return n.cni.DelNetworkList(ctx, net.list, r.runtimeConf(net.ifName, netns))
	}
	call := n.call(r, net.ifName, netns)
	for i := min(done, len(c.links)-1); i >= 0; i-- {
		l := &c.links[i]
		call.Config = l.config(r.Capabilities, previous)
		err := n.inside.Del(ctx, l.plugin, call)
		if err == nil || i == done && n.inside.Has(l.plugin) && ctx.Err() == nil {
			continue
		}
		return fmt.Errorf("plugin %s failed (delete): %w", l.described, err)
	}
	n.cache.remove(net, r.ID)
	return nil
}

// previous is the result that DEL is given, from version 0.4.0 on. It is libcni's to find when it is not known.
func (n *Networks) previous(net *network, id string) (text []byte, known bool, err error) {
	has, err := version.GreaterThanOrEqualTo(net.list.CNIVersion, "0.4.0")
	if err != nil || !has {
		return nil, true, err
	}
	text, known = n.cache.result(net, id)
	return text, known, nil
}

// chain is nil when the network is left to libcni.
func (n *Networks) chain(net *network) *chain {
	if n.inside == nil {
		return nil
	}
	return n.chains.of(net.list)
}

// chains are prepared once for each configuration, which thousands of pods have in common.
type chains struct {
	mu     sync.Mutex
	byText map[string]*chain // nil: left to libcni
}

// maxChains is more than a node has networks; what a reconfiguration left is dropped some day.
const maxChains = 32

func (c *chains) of(list *libcni.NetworkConfigList) *chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.byText[string(list.Bytes)]; ok {
		return found
	}
	if len(c.byText) >= maxChains || c.byText == nil {
		c.byText = map[string]*chain{}
	}
	made := newChain(list)
	c.byText[string(list.Bytes)] = made
	return made
}
