// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"encoding/json"
	"fmt"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
)

// Previous is of a configuration what its prevResult needs. It is embedded in what a plugin decodes its configuration into, so
// that the result is decoded once: types.PluginConf makes a map of it first.
type Previous struct {
	CNIVersion string          `json:"cniVersion"`
	Raw        json.RawMessage `json:"prevResult"`
}

// Result decodes it. nil when there is none.
func (p *Previous) Result() (*types100.Result, error) {
	if len(p.Raw) == 0 || string(p.Raw) == "null" {
		return nil, nil
	}
	text, err := p.versioned()
	if err != nil {
		return nil, fmt.Errorf("could not parse prevResult: %w", err)
	}
	result, err := create.Create(p.CNIVersion, text)
	if err != nil {
		return nil, fmt.Errorf("could not parse prevResult: %w", err)
	}
	current, err := types100.NewResultFromResult(result)
	if err != nil {
		return nil, fmt.Errorf("could not convert prevResult: %w", err)
	}
	return current, nil
}

// versioned gives a result without a version, as they were once, that of the configuration.
func (p *Previous) versioned() ([]byte, error) {
	var own struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal(p.Raw, &own); err != nil {
		return nil, err
	}
	if own.CNIVersion != "" {
		return p.Raw, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(p.Raw, &fields); err != nil {
		return nil, err
	}
	version, err := json.Marshal(p.CNIVersion)
	if err != nil {
		return nil, err
	}
	fields["cniVersion"] = version
	return json.Marshal(fields)
}
