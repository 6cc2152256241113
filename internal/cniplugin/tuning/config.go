// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// config is the plugin's configuration after everything that may override it.
type config struct {
	cniplugin.Previous
	DataDir string  `json:"dataDir"`
	Sysctl  sysctls `json:"sysctl"`

	Runtime struct {
		Mac string `json:"mac"`
	} `json:"runtimeConfig"`
	Args *struct {
		CNI *overrides `json:"cni"`
	} `json:"args"`

	wanted   attributes
	previous *types100.Result
}

// plain are the attributes as the configuration has them at its top.
type plain struct {
	Mac      string `json:"mac"`
	Promisc  bool   `json:"promisc"`
	Mtu      int    `json:"mtu"`
	TxQLen   *int   `json:"txQLen"`
	Allmulti *bool  `json:"allmulti"`
}

// overrides come in args.cni and go before everything else.
type overrides struct {
	Sysctl   map[string]string `json:"sysctl"`
	Mac      *string           `json:"mac"`
	Promisc  *bool             `json:"promisc"`
	Mtu      *int              `json:"mtu"`
	Allmulti *bool             `json:"allmulti"`
	TxQLen   *int              `json:"txQLen"`
}

// environment is what CNI_ARGS may say.
type environment struct {
	types.CommonArgs
	MAC types.UnmarshallableString
}

func parse(c *cniplugin.Call) (*config, error) {
	conf, top := &config{}, plain{}
	if err := json.Unmarshal(c.Config, conf); err != nil {
		return nil, fmt.Errorf("failed to load netconf: %w", err)
	}
	if err := json.Unmarshal(c.Config, &top); err != nil {
		return nil, fmt.Errorf("failed to load netconf: %w", err)
	}
	if conf.DataDir == "" {
		conf.DataDir = "/run/cni/tuning"
	}
	if c.Args != "" {
		var e environment
		if err := types.LoadArgs(c.Args, &e); err != nil {
			return nil, err
		}
		if e.MAC != "" {
			top.Mac = string(e.MAC)
		}
	}
	if conf.Runtime.Mac != "" {
		top.Mac = conf.Runtime.Mac
	}
	conf.wanted = attributes{Mac: top.Mac, Mtu: top.Mtu, Allmulti: top.Allmulti, TxQLen: top.TxQLen}
	if conf.Args != nil && conf.Args.CNI != nil {
		conf.override(&top, conf.Args.CNI)
	}
	if top.Promisc {
		conf.wanted.Promisc = &top.Promisc
	}
	return conf, nil
}

func (c *config) override(top *plain, o *overrides) {
	if o.Sysctl != nil {
		if c.Sysctl == nil {
			c.Sysctl = sysctls{}
		}
		maps.Copy(c.Sysctl, o.Sysctl)
	}
	if o.Mac != nil {
		c.wanted.Mac = *o.Mac
	}
	if o.Promisc != nil {
		top.Promisc = *o.Promisc
	}
	if o.Mtu != nil {
		c.wanted.Mtu = *o.Mtu
	}
	if o.Allmulti != nil {
		c.wanted.Allmulti = o.Allmulti
	}
	if o.TxQLen != nil {
		c.wanted.TxQLen = o.TxQLen
	}
}

// sysctls are names and values. A name given twice is an error: which of the values would count?
type sysctls map[string]string

// UnmarshalJSON implements json.Unmarshaler. encoding/json lets the last of two values win.
func (s *sysctls) UnmarshalJSON(text []byte) error {
	var values map[string]string
	if err := json.Unmarshal(text, &values); err != nil || values == nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	tokens := 0
	for {
		if _, err := d.Token(); err != nil {
			break // the end: the text was parsed once already
		}
		tokens++
	}
	if tokens != 2+2*len(values) { // braces, then names and values
		return errors.New("duplicated sysctl keys are not allowed")
	}
	*s = values
	return nil
}
