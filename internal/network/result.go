// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"fmt"
	"net"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Result is what the plugins gave.
type Result struct {
	IP            string      // the pod's primary address
	AdditionalIPs []string    // others of the same interface
	Interfaces    []Interface // in the order of the plugins' results
	Raw           []byte      // JSON, in the form that containerd's verbose status has: Interfaces, DNS, Routes
}

// Interface is one that the plugins made, in the pod or on the host.
type Interface struct {
	Name, MAC, Sandbox string   // Sandbox is empty for one of the host
	Addresses          []string // CIDR
}

// defaultInterface is the one whose addresses are the pod's.
const defaultInterface = "eth0"

// verbose is Result.Raw.
type verbose struct {
	Interfaces map[string]*verboseInterface
	DNS        []types.DNS
	Routes     []*types.Route
}

type verboseInterface struct {
	IPConfigs  []verboseIP
	Mac        string
	Sandbox    string
	PciID      string
	SocketPath string
}

type verboseIP struct{ IP, Gateway net.IP }

// merge makes one result of the networks' and picks the pod's address. ErrInternal when the
// plugins gave none, or nonsense.
func merge(results []types.Result, preference string) (*Result, error) {
	m := merger{
		index: map[string]int{},
		raw:   verbose{Interfaces: map[string]*verboseInterface{}},
	}
	m.named(defaultInterface) // plugins need not report interfaces: addresses are this one's then
	for _, r := range results {
		if err := m.add(r); err != nil {
			return nil, err
		}
	}
	return m.result(preference)
}

type merger struct {
	interfaces []Interface
	index      map[string]int // in interfaces, by name
	raw        verbose
	addresses  []net.IP // of the default interface
}

func (m *merger) named(name string) (*Interface, *verboseInterface) {
	i, ok := m.index[name]
	if !ok {
		i = len(m.interfaces)
		m.index[name] = i
		m.interfaces = append(m.interfaces, Interface{Name: name})
		m.raw.Interfaces[name] = &verboseInterface{}
	}
	return &m.interfaces[i], m.raw.Interfaces[name]
}

func (m *merger) add(result types.Result) error {
	r, err := types100.NewResultFromResult(result)
	if err != nil {
		return fmt.Errorf("result of the plugins: %w: %w", err, errdefs.ErrInternal)
	}
	for _, reported := range r.Interfaces {
		i, v := m.named(reported.Name)
		i.MAC, i.Sandbox = reported.Mac, reported.Sandbox
		v.Mac, v.Sandbox, v.PciID, v.SocketPath = reported.Mac, reported.Sandbox, reported.PciID, reported.SocketPath
	}
	for _, ip := range r.IPs {
		if err := m.addAddress(r, ip); err != nil {
			return err
		}
	}
	m.raw.DNS = append(m.raw.DNS, r.DNS)
	m.raw.Routes = append(m.raw.Routes, r.Routes...)
	return nil
}

func (m *merger) addAddress(r *types100.Result, ip *types100.IPConfig) error {
	if ip == nil || ip.Address.IP.To16() == nil {
		return fmt.Errorf("result of the plugins: an address is missing: %w", errdefs.ErrInternal)
	}
	name := defaultInterface
	if ip.Interface != nil {
		if *ip.Interface < 0 || *ip.Interface >= len(r.Interfaces) {
			return fmt.Errorf("result of the plugins: address %s is of interface %d, there are %d: %w",
				ip.Address.IP, *ip.Interface, len(r.Interfaces), errdefs.ErrInternal)
		}
		name = r.Interfaces[*ip.Interface].Name
	}
	i, v := m.named(name)
	i.Addresses = append(i.Addresses, ip.Address.String())
	v.IPConfigs = append(v.IPConfigs, verboseIP{ip.Address.IP, ip.Gateway})
	if name == defaultInterface {
		m.addresses = append(m.addresses, ip.Address.IP)
	}
	return nil
}

func (m *merger) result(preference string) (*Result, error) {
	if len(m.addresses) == 0 {
		return nil, fmt.Errorf("the plugins gave %s no address: %w", defaultInterface, errdefs.ErrInternal)
	}
	raw, err := json.Marshal(m.raw)
	if err != nil {
		return nil, fmt.Errorf("result of the plugins: %w: %w", err, errdefs.ErrInternal)
	}
	r := &Result{Interfaces: m.interfaces, Raw: raw}
	first := primary(m.addresses, preference)
	for i, ip := range m.addresses {
		if i == first {
			r.IP = ip.String()
		} else {
			r.AdditionalIPs = append(r.AdditionalIPs, ip.String())
		}
	}
	return r, nil
}

// primary is the index of the pod's address: the first of the preferred family, or the first.
func primary(addresses []net.IP, preference string) int {
	if preference == preferCNI {
		return 0
	}
	for i, ip := range addresses {
		if isV4 := ip.To4() != nil; isV4 == (preference != preferIPv6) {
			return i
		}
	}
	return 0
}
