// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// defaultDataDir has a directory for each network whose configuration says nothing else.
const defaultDataDir = "/var/lib/cni/networks"

// netConf is the part of a network's configuration that matters here.
type netConf struct {
	Name       string
	CNIVersion string
	IPAM       *struct {
		rangeConf  // before there were sets
		Ranges     [][]rangeConf
		Routes     []*types.Route
		DataDir    string
		ResolvConf string
	}
	RuntimeConfig struct {
		IPRanges [][]rangeConf
		IPs      []*requestedIP
	}
	Args *struct {
		CNI *struct{ IPs []*requestedIP }
	}
}

// config is what ADD does: the ranges are checked and completed.
type config struct {
	name       string
	path       string // directory of the network's leases
	sets       []rangeSet
	requested  []address // each once
	routes     []*types.Route
	resolvConf string // absolute, or ""
}

// load reads the configuration of ADD, CHECK and STATUS.
func load(c *cniplugin.Call) (*config, error) {
	var n netConf
	if err := decode(c.Config, &n); err != nil {
		return nil, err
	}
	if n.IPAM == nil {
		return nil, errNoIPAM
	}
	path, err := locate(n.Name, n.IPAM.DataDir)
	if err != nil {
		return nil, err
	}
	conf := &config{name: n.Name, path: path, routes: n.IPAM.Routes, resolvConf: n.IPAM.ResolvConf}
	if conf.resolvConf != "" && !filepath.IsAbs(conf.resolvConf) {
		return nil, fmt.Errorf("resolvConf %q is relative: %w", conf.resolvConf, cniplugin.ErrDeclined)
	}
	if err := checkRoutes(conf.routes); err != nil {
		return nil, err
	}
	if conf.requested, err = n.requested(c.Args); err != nil {
		return nil, err
	}
	if conf.sets, err = n.sets(); err != nil {
		return nil, failed(types.ErrInvalidNetworkConfig, "ipam configuration", err)
	}
	return conf, nil
}

// loadPath finds where the leases are. That is all that DEL and GC need of a configuration.
func loadPath(text []byte) (string, error) {
	var n struct {
		Name string
		IPAM *struct{ DataDir string }
	}
	if err := decode(text, &n); err != nil {
		return "", err
	}
	if n.IPAM == nil {
		return "", errNoIPAM
	}
	return locate(n.Name, n.IPAM.DataDir)
}

var errNoIPAM = invalid("the network configuration has no ipam")

func decode(text []byte, conf any) error {
	if err := json.Unmarshal(text, conf); err != nil {
		return failed(codeOf(err), "network configuration", err)
	}
	return nil
}

// locate is the directory of the network's leases.
func locate(network, dataDir string) (string, error) {
	if err := utils.ValidateNetworkName(network); err != nil {
		return "", err
	}
	switch {
	case dataDir == "":
		dataDir = defaultDataDir
	case strings.ContainsRune(dataDir, 0):
		return "", invalid("dataDir has a NUL in it")
	case !filepath.IsAbs(dataDir):
		return "", fmt.Errorf("dataDir %q is relative: %w", dataDir, cniplugin.ErrDeclined)
	}
	return filepath.Join(dataDir, network), nil
}

// sets completes and checks all ranges. Those of the runtime come first, then the one without a set.
func (n *netConf) sets() ([]rangeSet, error) {
	confs := n.IPAM.Ranges
	if n.IPAM.Subnet.IP != nil {
		confs = append([][]rangeConf{{n.IPAM.rangeConf}}, confs...)
	}
	confs = append(n.RuntimeConfig.IPRanges, confs...)
	if len(confs) == 0 {
		return nil, errors.New("no ranges")
	}
	var sets []rangeSet
	families := map[bool]int{}
	for i, conf := range confs {
		set, err := newRangeSet(conf)
		if err != nil {
			return nil, fmt.Errorf("range set %d: %w", i, err)
		}
		for j, other := range sets {
			if set.overlaps(other) {
				return nil, fmt.Errorf("range sets %d and %d overlap", j, i)
			}
		}
		families[set[0].first.is4()]++
		sets = append(sets, set)
	}
	if families[true] > 1 || families[false] > 1 {
		if ok, err := version.GreaterThanOrEqualTo(n.CNIVersion, "0.3.0"); !ok || err != nil {
			return nil, fmt.Errorf("version %q of CNI has one address of each family at most", n.CNIVersion)
		}
	}
	return sets, nil
}

// requested collects addresses that are asked for in CNI_ARGS, args and runtimeConfig, each once.
func (n *netConf) requested(args string) ([]address, error) {
	var env struct {
		types.CommonArgs
		IP requestedIP
	}
	if err := types.LoadArgs(args, &env); err != nil {
		return nil, failed(types.ErrInvalidEnvironmentVariables, "CNI_ARGS", err)
	}
	var all []*requestedIP
	if env.IP.valid {
		all = append(all, &env.IP)
	}
	if n.Args != nil && n.Args.CNI != nil {
		all = append(all, n.Args.CNI.IPs...)
	}
	var list []address
	known := map[address]bool{}
	for _, ip := range append(all, n.RuntimeConfig.IPs...) {
		if ip == nil || !ip.valid {
			return nil, invalid("a requested address is empty")
		}
		if !known[ip.address] {
			known[ip.address] = true
			list = append(list, ip.address)
		}
	}
	return list, nil
}

// requestedIP is an address, or none. A prefix length may follow, and says nothing.
type requestedIP struct {
	address address
	valid   bool
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *requestedIP) UnmarshalText(text []byte) error {
	*r = requestedIP{}
	if len(text) == 0 {
		return nil
	}
	ip := net.ParseIP(string(text))
	if strings.Contains(string(text), "/") {
		ip, _, _ = net.ParseCIDR(string(text))
	}
	if ip == nil {
		return &net.ParseError{Type: "IP address", Text: string(text)}
	}
	*r = requestedIP{fromIP(ip), true}
	return nil
}

func checkRoutes(routes []*types.Route) error {
	for i, r := range routes {
		if r == nil || r.Dst.IP == nil || r.Dst.Mask == nil {
			return invalid(fmt.Sprintf("route %d has no dst", i))
		}
	}
	return nil
}

// attachments reads what a GC call lists as valid.
func attachments(text []byte) ([]types.GCAttachment, error) {
	var conf struct {
		Valid []types.GCAttachment `json:"cni.dev/valid-attachments"`
	}
	err := decode(text, &conf)
	return conf.Valid, err
}
