// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// config is the plugin's configuration.
type config struct {
	cniplugin.Previous
	IPAM          struct{ Type string }
	DNS           types.DNS
	Master        string // "" for the interface of the default route
	Mode          string
	MTU           int // 0 for the master's
	MAC           string
	InContainer   bool   `json:"linkInContainer"` // the master is in the pod's namespace
	QueueLength   uint32 `json:"bcqueuelen"`
	RuntimeConfig struct{ MAC string }

	mode netlink.MacvlanMode
	mac  net.HardwareAddr // nil for one that the kernel makes up
}

// modes are what is between the pods on one master. "" is bridge.
var modes = map[string]netlink.MacvlanMode{
	"":         netlink.MACVLAN_MODE_BRIDGE,
	"bridge":   netlink.MACVLAN_MODE_BRIDGE,
	"private":  netlink.MACVLAN_MODE_PRIVATE,
	"vepa":     netlink.MACVLAN_MODE_VEPA,
	"passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

// parse finds all that is wrong with a configuration by itself.
func parse(c *cniplugin.Call) (*config, error) {
	conf, err := decode(c.Config)
	if err != nil {
		return nil, err
	}
	mode, ok := modes[conf.Mode]
	if !ok {
		return nil, invalid("unknown macvlan mode: %q", conf.Mode)
	}
	conf.mode = mode
	if conf.Master != "" {
		if err := utils.ValidateInterfaceName(conf.Master); err != nil {
			return nil, invalid("master %q: %v", conf.Master, err)
		}
	}
	if conf.MTU < 0 {
		return nil, invalid("invalid MTU %d", conf.MTU)
	}
	return conf, conf.parseMAC(c.Args)
}

// decode is all that DEL and GC need, so that they work whatever has become of a configuration.
func decode(text []byte) (*config, error) {
	conf := &config{}
	if err := json.Unmarshal(text, conf); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "failed to load netconf", err.Error())
	}
	return conf, nil
}

// parseMAC takes runtimeConfig before CNI_ARGS before mac.
func (conf *config) parseMAC(args string) error {
	var env struct {
		types.CommonArgs
		MAC types.UnmarshallableString
	}
	if err := types.LoadArgs(args, &env); err != nil {
		return types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_ARGS", err.Error())
	}
	text := conf.MAC
	if env.MAC != "" {
		text = string(env.MAC)
	}
	if conf.RuntimeConfig.MAC != "" {
		text = conf.RuntimeConfig.MAC
	}
	if text == "" {
		return nil
	}
	mac, err := net.ParseMAC(text)
	if err == nil && len(mac) != 6 {
		err = errors.New("not an address of Ethernet")
	}
	if err != nil {
		return invalid("invalid args %s for MAC addr: %v", text, err)
	}
	conf.mac = mac
	return nil
}

// findMaster looks the master up where it is, and compares the MTU with its.
func (conf *config) findMaster(ns *netif.Namespace) (netlink.Link, error) {
	name := conf.Master
	if name == "" {
		var err error
		if name, err = defaultInterface(ns); err != nil {
			return nil, err
		}
	}
	master, err := ns.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("master %q: %w", name, err)
	}
	if most := master.Attrs().MTU; conf.MTU > most {
		return nil, invalid("invalid MTU %d, must be [0, master MTU(%d)]", conf.MTU, most)
	}
	return master, nil
}

// defaultInterface is the one of the first default route.
func defaultInterface(ns *netif.Namespace) (string, error) {
	routes, err := ns.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, 0)
	if err != nil {
		return "", fmt.Errorf("routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 || !r.Dst.IP.IsUnspecified() {
				continue
			}
		}
		link, err := ns.LinkByIndex(r.LinkIndex)
		if err != nil {
			return "", fmt.Errorf("interface of the default route: %w", err)
		}
		return link.Attrs().Name, nil
	}
	return "", errors.New("no master is configured, and there is no default route")
}

// invalid is something wrong in a configuration.
func invalid(format string, args ...any) error {
	return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf(format, args...), "")
}
