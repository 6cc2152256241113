// SPDX-License-Identifier: Apache-2.0

package ptp

import (
	"encoding/json"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// config is the plugin's configuration: https://www.cni.dev/plugins/current/main/ptp/
type config struct {
	cniplugin.Previous
	Name string `json:"name"`
	IPAM struct {
		Type string `json:"type"`
	} `json:"ipam"`
	DNS           types.DNS            `json:"dns"`
	Attachments   []types.GCAttachment `json:"cni.dev/valid-attachments"`
	IPMasq        bool                 `json:"ipMasq"`
	IPMasqBackend *string              `json:"ipMasqBackend"`
	MTU           int                  `json:"mtu"`
}

func parse(c *cniplugin.Call) (*config, error) {
	conf := &config{}
	if err := json.Unmarshal(c.Config, conf); err != nil {
		return nil, fmt.Errorf("failed to load netconf: %w", err)
	}
	return conf, nil
}

// parseAdd is parse for ADD, which has more that can be wrong.
func parseAdd(c *cniplugin.Call) (*config, error) {
	conf, err := parse(c)
	if err != nil {
		return nil, err
	}
	if conf.MTU > 65535 {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("failed to make veth pair: mtu %d is above 65535", conf.MTU), "")
	}
	if conf.IPMasq {
		_, err = conf.backend()
	}
	return conf, err
}

// mtu is 0 for the kernel's default, which negative values mean too.
func (conf *config) mtu() int { return max(conf.MTU, 0) }

func (conf *config) backend() (string, error) { return cniplugin.MasqueradeBackend(conf.IPMasqBackend) }
