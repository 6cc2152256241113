// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// config is the plugin's configuration.
type config struct {
	cniplugin.Previous
	Backend    string `json:"backend"`
	AdminChain string `json:"iptablesAdminChainName"`
	Zone       string `json:"firewalldZone"`
	Policy     string `json:"ingressPolicy"`

	previous  *types100.Result // nil when there is none, which DEL allows
	addresses []netip.Addr
	bridge    string // of the policies that need one
}

// Ingress policies.
const (
	open       = "open"
	sameBridge = "same-bridge"
	isolated   = "isolated"
)

// Names that go into rules. They are stricter than what the kernel would take: iptables-restore splits lines at spaces and has quotes,
// and reads - and ! at the start and + at the end of a name.
var (
	chainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/@+=-]{0,27}$`)
	linkName  = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.@=-]{0,14}$`)
)

func parse(c *cniplugin.Call) (*config, error) {
	conf := &config{}
	if err := json.Unmarshal(c.Config, conf); err != nil {
		return nil, fmt.Errorf("failed to load netconf: %w", err)
	}
	if conf.Zone == "" {
		conf.Zone = "trusted"
	}
	if conf.AdminChain == "" {
		conf.AdminChain = "CNI-ADMIN"
	}
	if conf.Policy == "" {
		conf.Policy = open
	}
	var err error
	if conf.previous, err = conf.Result(); err != nil || conf.previous == nil {
		return conf, err
	}
	for _, ip := range conf.previous.IPs {
		if ip == nil {
			continue
		}
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return nil, fmt.Errorf("prevResult has the address %q", ip.Address.IP)
		}
		if a = a.Unmap(); !slices.Contains(conf.addresses, a) {
			conf.addresses = append(conf.addresses, a)
		}
	}
	return conf, nil
}

// complete checks what ADD and CHECK need. DEL has to do what it can.
func (c *config) complete() error {
	if c.previous == nil {
		return errors.New("missing prevResult from earlier plugin")
	}
	if !chainName.MatchString(c.AdminChain) {
		return fmt.Errorf("iptablesAdminChainName %q cannot be the name of a chain", c.AdminChain)
	}
	return nil
}

// knownPolicy is an error for all others.
func (c *config) knownPolicy() error {
	switch c.Policy {
	case open, sameBridge, isolated:
		return nil
	}
	return fmt.Errorf("unknown ingress policy: %q", c.Policy)
}

// findBridge finds the bridge whose pods the policy is about: the first interface of the result.
func (c *config) findBridge() error {
	if err := c.knownPolicy(); err != nil || c.Policy == open {
		return err
	}
	interfaces := c.previous.Interfaces
	switch {
	case len(interfaces) == 0:
		return fmt.Errorf("interface needs to be set for ingress policy %q, make sure to chain \"firewall\" plugin with \"bridge\"", c.Policy)
	case interfaces[0] == nil:
		return errors.New("got nil interface")
	case interfaces[0].Name == "":
		return errors.New("got empty bridge name")
	case !linkName.MatchString(interfaces[0].Name):
		return fmt.Errorf("the bridge name %q cannot be in a rule", interfaces[0].Name)
	}
	c.bridge = interfaces[0].Name
	return nil
}

// of returns the addresses of one family.
func (c *config) of(f *family) []netip.Addr {
	var list []netip.Addr
	for _, a := range c.addresses {
		if a.Is4() == (f == ipv4) {
			list = append(list, a)
		}
	}
	return list
}
