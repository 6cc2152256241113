// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// maxVLAN is the highest VLAN ID: IEEE 802.1Q keeps 4095.
const maxVLAN = 4094

// config is the plugin's configuration: https://www.cni.dev/plugins/current/main/bridge/
type config struct {
	cniplugin.Previous
	Name string `json:"name"`
	IPAM struct {
		Type string `json:"type"`
	} `json:"ipam"`
	DNS         types.DNS            `json:"dns"`
	Attachments []types.GCAttachment `json:"cni.dev/valid-attachments"`

	Bridge                    string  `json:"bridge"`
	IsGateway                 bool    `json:"isGateway"`
	IsDefaultGateway          bool    `json:"isDefaultGateway"`
	ForceAddress              bool    `json:"forceAddress"`
	IPMasq                    bool    `json:"ipMasq"`
	IPMasqBackend             *string `json:"ipMasqBackend"`
	MTU                       int     `json:"mtu"`
	HairpinMode               bool    `json:"hairpinMode"`
	PromiscMode               bool    `json:"promiscMode"`
	VLAN                      int     `json:"vlan"`
	VLANTrunk                 []trunk `json:"vlanTrunk"`
	PreserveDefaultVLAN       bool    `json:"preserveDefaultVlan"`
	MACSpoofCheck             bool    `json:"macspoofchk"`
	EnableDAD                 bool    `json:"enabledad"`
	DisableContainerInterface bool    `json:"disableContainerInterface"`
	PortIsolation             bool    `json:"portIsolation"`

	Args struct {
		CNI macOption `json:"cni"`
	} `json:"args"`
	RuntimeConfig macOption `json:"runtimeConfig"`

	environment environment
	mac         net.HardwareAddr // asked for; nil for none
	trunks      []vlanRange
}

type macOption struct {
	MAC string `json:"mac"`
}

// environment is what CNI_ARGS may have.
type environment struct {
	types.CommonArgs
	MAC types.UnmarshallableString `json:"mac,omitempty"`
}

// parse finds all that is wrong with a configuration by itself. Errors without a code are those that the reference plugin has,
// which gives them none either.
func parse(c *cniplugin.Call) (*config, error) {
	conf := &config{Bridge: "cni0"}
	if err := json.Unmarshal(c.Config, conf); err != nil {
		return nil, fmt.Errorf("failed to load netconf: %w", err)
	}
	if conf.VLAN < 0 || conf.VLAN > maxVLAN {
		return nil, fmt.Errorf("invalid VLAN ID %d (must be between 0 and 4094)", conf.VLAN)
	}
	var err error
	if conf.trunks, err = vlanRanges(conf.VLANTrunk); err != nil {
		return nil, err
	}
	if c.Args != "" {
		if err := types.LoadArgs(c.Args, &conf.environment); err != nil {
			return nil, err
		}
	}
	return conf, nil
}

// parseMAC takes runtimeConfig before args before CNI_ARGS.
func (conf *config) parseMAC() error {
	mac := string(conf.environment.MAC)
	for _, option := range []macOption{conf.Args.CNI, conf.RuntimeConfig} {
		if option.MAC != "" {
			mac = option.MAC
		}
	}
	if mac == "" {
		return nil
	}
	parsed, err := net.ParseMAC(mac)
	if err != nil {
		return fmt.Errorf("failed to make veth pair: %w", err)
	}
	if len(parsed) != 6 || parsed[0]&1 != 0 || parsed.String() == "00:00:00:00:00:00" {
		return types.NewError(types.ErrInvalidNetworkConfig, "failed to make veth pair: no address of an Ethernet interface", mac)
	}
	conf.mac = parsed
	return nil
}

// parseAdd is parse for ADD, which has more that can be wrong.
func parseAdd(c *cniplugin.Call) (*config, error) {
	conf, err := parse(c)
	if err != nil {
		return nil, err
	}
	if conf.layer3() && conf.DisableContainerInterface {
		return nil, errors.New("cannot use IPAM when DisableContainerInterface flag is set")
	}
	if err := conf.parseMAC(); err != nil {
		return nil, err
	}
	conf.IsGateway = conf.IsGateway || conf.IsDefaultGateway
	if conf.HairpinMode && conf.PromiscMode {
		return nil, errors.New("cannot set hairpin mode and promiscuous mode at the same time")
	}
	names := []string{conf.Bridge}
	if conf.VLAN != 0 && conf.IsGateway && conf.layer3() {
		names = append(names, conf.gatewayLink())
	}
	for _, name := range names {
		if err := utils.ValidateInterfaceName(name); err != nil {
			return nil, types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("failed to create bridge %q: %s", name, err.Msg), err.Details)
		}
	}
	if conf.MTU > 65535 {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("failed to create bridge %q: mtu %d is above 65535", conf.Bridge, conf.MTU), "")
	}
	return conf, nil
}

// layer3 tells whether the pod gets addresses.
func (conf *config) layer3() bool { return conf.IPAM.Type != "" }

// mtu is 0 for the kernel's default, which negative values mean too.
func (conf *config) mtu() int { return max(conf.MTU, 0) }

func (conf *config) backend() (string, error) { return cniplugin.MasqueradeBackend(conf.IPMasqBackend) }

// gatewayLink is the interface of the host that has the gateway's address in a VLAN.
func (conf *config) gatewayLink() string { return fmt.Sprintf("%s.%d", conf.Bridge, conf.VLAN) }

func (conf *config) vlanAware() bool { return conf.VLAN != 0 || conf.VLANTrunk != nil }
