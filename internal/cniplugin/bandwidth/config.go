// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// config is the plugin's configuration.
type config struct {
	cniplugin.Previous
	Name    string `json:"name"`
	Runtime struct {
		Bandwidth *Limits `json:"bandwidth"`
	} `json:"runtimeConfig"`
	*Limits

	previous *types100.Result
}

// Limits of a pod; rates in bits per second, bursts in bits. Ingress is what the pod receives.
type Limits struct {
	IngressRate  uint64 `json:"ingressRate"`
	IngressBurst uint64 `json:"ingressBurst"`
	EgressRate   uint64 `json:"egressRate"`
	EgressBurst  uint64 `json:"egressBurst"`
}

func (l Limits) ingress() bucket { return bucket{rate: l.IngressRate, burst: l.IngressBurst} }
func (l Limits) egress() bucket  { return bucket{rate: l.EgressRate, burst: l.EgressBurst} }

func parse(c *cniplugin.Call) (*config, error) {
	conf := &config{}
	if err := json.Unmarshal(c.Config, conf); err != nil {
		return nil, fmt.Errorf("failed to parse network configuration: %w", err)
	}
	for _, b := range []bucket{conf.wanted().ingress(), conf.wanted().egress()} {
		if err := b.valid(); err != nil {
			return nil, err
		}
	}
	var err error
	conf.previous, err = conf.Result()
	return conf, err
}

// wanted are the network's own limits, or else what the runtime asks for.
func (c *config) wanted() Limits {
	switch {
	case c.Limits != nil:
		return *c.Limits
	case c.Runtime.Bandwidth != nil:
		return *c.Runtime.Bandwidth
	}
	return Limits{}
}

// bucket is one direction's limit; none when zero. Rate in bits per second, burst in bits.
type bucket struct{ rate, burst uint64 }

func (b bucket) valid() error {
	switch {
	case b.burst == 0 && b.rate != 0:
		return errors.New("if rate is set, burst must also be set")
	case b.rate == 0 && b.burst != 0:
		return errors.New("if burst is set, rate must also be set")
	case b.burst/8 >= math.MaxUint32:
		return errors.New("burst cannot be more than 4GB")
	case b.rate != 0 && (b.rate < 8 || b.burst < 8):
		return errors.New("rate and burst must be at least a byte: 8 bits")
	}
	return nil
}
