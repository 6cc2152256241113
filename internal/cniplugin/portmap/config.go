// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// Values of the option backend.
const (
	backendIPTables = "iptables"
	backendNFTables = "nftables"
)

// defaultMarkBit marks what is to be masqueraded, with iptables. Kubernetes has 14 and 15, Calico 20 to 31.
const defaultMarkBit = 13

// mapping is one of runtimeConfig's portMappings, see CNI's CONVENTIONS.md.
type mapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

type config struct {
	cniplugin.Previous
	Name                 string   `json:"name"`
	Backend              *string  `json:"backend"`
	SNAT                 *bool    `json:"snat"`
	ConditionsV4         []string `json:"conditionsV4"`
	ConditionsV6         []string `json:"conditionsV6"`
	MasqAll              bool     `json:"masqAll"`
	MarkMasqBit          *int     `json:"markMasqBit"`
	ExternalSetMarkChain *string  `json:"externalSetMarkChain"`
	RuntimeConfig        struct {
		Mappings []mapping `json:"portMappings"`
	} `json:"runtimeConfig"`

	id       string
	result   *current.Result // prevResult, nil without one
	ip4, ip6 *net.IPNet      // the pod's, nil when it has none
}

func (c *config) snat() bool { return c.SNAT == nil || *c.SNAT }

func (c *config) markBit() int {
	if c.MarkMasqBit == nil {
		return defaultMarkBit
	}
	return *c.MarkMasqBit
}

// addresses are those of the pod, IPv4 first.
func (c *config) addresses() []*net.IPNet {
	var all []*net.IPNet
	for _, n := range []*net.IPNet{c.ip4, c.ip6} {
		if n != nil {
			all = append(all, n)
		}
	}
	return all
}

// parse reads a configuration. What it refuses, and with which words, is the reference plugin's.
func parse(stdin []byte, ifName, id string) (*config, error) {
	c := &config{id: id}
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, fmt.Errorf("failed to parse network configuration: %w", err)
	}
	var err error
	if c.result, err = c.Result(); err != nil {
		return nil, fmt.Errorf("could not parse prevResult: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.result != nil {
		c.findAddresses(ifName)
	}
	return c, nil
}

func (c *config) check() error {
	if c.MarkMasqBit != nil && c.ExternalSetMarkChain != nil {
		return errors.New("Cannot specify externalSetMarkChain and markMasqBit") //nolint:staticcheck // the reference plugin's words
	}
	if bit := c.markBit(); bit < 0 || bit > 31 {
		return errors.New("MasqMarkBit must be between 0 and 31")
	}
	if err := c.checkBackend(); err != nil {
		return err
	}
	for _, m := range c.RuntimeConfig.Mappings {
		if m.ContainerPort <= 0 {
			return fmt.Errorf("Invalid container port number: %d", m.ContainerPort) //nolint:staticcheck // as above
		}
		if m.HostPort <= 0 {
			return fmt.Errorf("Invalid host port number: %d", m.HostPort) //nolint:staticcheck // as above
		}
	}
	return nil
}

// checkBackend refuses options of one backend for the other.
func (c *config) checkBackend() error {
	options := map[string][]string{}
	if c.ExternalSetMarkChain != nil {
		options[backendIPTables] = append(options[backendIPTables], "externalSetMarkChain")
	}
	for _, conditions := range []struct {
		name string
		list []string
	}{{"conditionsV4", c.ConditionsV4}, {"conditionsV6", c.ConditionsV6}} {
		if b := backendOf(conditions.list); b != "" {
			options[b] = append(options[b], conditions.name)
		}
	}
	wrong, backend := backendIPTables, ""
	switch {
	case c.Backend != nil:
		if backend = *c.Backend; backend == backendIPTables {
			wrong = backendNFTables
		}
	case len(options[backendIPTables]) > 0:
		backend, wrong = backendIPTables, backendNFTables
	}
	if backend != "" && len(options[wrong]) > 0 {
		return fmt.Errorf("%s backend was requested but configuration contains %s-specific options %v", backend, wrong, options[wrong])
	}
	if c.Backend != nil && backend != backendIPTables && backend != backendNFTables {
		return fmt.Errorf("unrecognized backend %q", backend)
	}
	return nil
}

// backendOf tells in whose syntax conditions are: of iptables all begin with a hyphen or an exclamation mark. "" for none.
func backendOf(conditions []string) string {
	switch {
	case len(conditions) == 0 || conditions[0] == "":
		return ""
	case conditions[0][0] == '-' || conditions[0][0] == '!':
		return backendIPTables
	}
	return backendNFTables
}

// wanted is the backend that is configured, by name or by options only it has; "" when both will do.
func (c *config) wanted() string {
	if c.Backend != nil {
		return *c.Backend
	}
	if c.ExternalSetMarkChain != nil {
		return backendIPTables
	}
	if b := backendOf(c.ConditionsV4); b != "" {
		return b
	}
	return backendOf(c.ConditionsV6)
}

// conditional tells whether conditions are in nft(8)'s syntax, which only that program compiles.
func (c *config) conditional() bool {
	return strings.TrimSpace(strings.Join(append(c.ConditionsV4[:len(c.ConditionsV4):len(c.ConditionsV4)], c.ConditionsV6...), " ")) != ""
}

// findAddresses takes the first address of each family that is, as far as the result tells, the interface's in the sandbox.
func (c *config) findAddresses(ifName string) {
	for _, ip := range c.result.IPs {
		if ip == nil {
			continue
		}
		of := &c.ip6
		if ip.Address.IP.To4() != nil {
			of = &c.ip4
		}
		if *of != nil || ip.Address.IP == nil {
			continue
		}
		if i := ip.Interface; i != nil && *i >= 0 && *i < len(c.result.Interfaces) {
			if owner := c.result.Interfaces[*i]; owner == nil || owner.Name != ifName || owner.Sandbox == "" {
				continue
			}
		}
		*of = &ip.Address
	}
}
