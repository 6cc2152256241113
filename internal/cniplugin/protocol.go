// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
)

// Versioned is a Plugin that does not know all versions of the specification.
type Versioned interface {
	Plugin
	Versions() version.PluginInfo
}

func versionsOf(p Plugin) version.PluginInfo {
	if v, ok := p.(Versioned); ok {
		return v.Versions()
	}
	return version.All
}

// since is the version of the specification that brought a verb.
var since = map[string]string{verbCheck: "0.4.0", verbStatus: "1.1.0", verbGC: "1.1.0"}

// admit checks what the reference plugins' common part checks before it calls a plugin's verb, in its order
// and with its error codes. It returns the configuration's version.
func admit(verb string, c *Call, p Plugin) (configured string, err error) {
	if err := c.checkEnvironment(verb); err != nil {
		return "", err
	}
	if configured, err = checkHeader(c.Config); err != nil {
		return "", err
	}
	if verb != verbAdd && verb != verbDel && since[verb] == "" {
		return "", types.NewError(types.ErrInvalidEnvironmentVariables, "unknown CNI_COMMAND: "+verb, "")
	}
	if !c.early {
		if err := checkVerb(verb, configured, versionsOf(p)); err != nil {
			return "", err
		}
	}
	var r version.Reconciler
	if wrong := r.Check(configured, versionsOf(p)); wrong != nil {
		return "", types.NewError(types.ErrIncompatibleCNIVersion, "incompatible CNI versions", wrong.Details())
	}
	if verb == verbAdd || verb == verbDel {
		return configured, c.checkNetNS()
	}
	return configured, nil
}

// checkEnvironment says what is wrong first, and what is missing otherwise.
func (c *Call) checkEnvironment(verb string) error {
	attached := verb == verbAdd || verb == verbDel || verb == verbCheck
	if attached && c.ContainerID != "" {
		if err := utils.ValidateContainerID(c.ContainerID); err != nil {
			return err
		}
	}
	if attached && c.IfName != "" {
		if err := utils.ValidateInterfaceName(c.IfName); err != nil {
			return err
		}
	}
	var missing []string
	for _, v := range []struct {
		name, value string
		needed      bool
	}{
		{"CNI_COMMAND", verb, true},
		{"CNI_CONTAINERID", c.ContainerID, attached},
		{"CNI_NETNS", c.NetNS, attached && verb != verbDel},
		{"CNI_IFNAME", c.IfName, attached},
		{"CNI_PATH", c.Path, attached || since[verb] != ""},
	} {
		if v.needed && v.value == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return types.NewError(types.ErrInvalidEnvironmentVariables,
		fmt.Sprintf("required env variables [%s] missing", strings.Join(missing, ",")), "")
}

// header is what every configuration has.
type header struct {
	Name       string `json:"name"`
	CNIVersion string `json:"cniVersion"`
}

// checkHeader returns the configuration's version.
func checkHeader(config []byte) (string, error) {
	var h header
	whole := json.Unmarshal(config, &h)
	if whole != nil { // whose fault it is decides what is said
		var named struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(config, &named); err != nil {
			return "", types.NewError(types.ErrDecodingFailure, fmt.Sprintf("error unmarshall network config: %v", err), "")
		}
		h.Name = named.Name
	}
	if h.Name == "" {
		return "", types.NewError(types.ErrInvalidNetworkConfig, "missing network name", "")
	}
	if err := utils.ValidateNetworkName(h.Name); err != nil {
		return "", err
	}
	if whole != nil {
		_, err := create.DecodeVersion(config)
		return "", types.NewError(types.ErrDecodingFailure, fmt.Sprint(err), "")
	}
	if h.CNIVersion == "" {
		return "0.1.0", nil // which had no such field
	}
	return h.CNIVersion, nil
}

// checkVerb refuses a verb that the configuration's version does not have.
func checkVerb(verb, configured string, known version.PluginInfo) error {
	first := since[verb]
	if first == "" {
		return nil
	}
	has, err := version.GreaterThanOrEqualTo(configured, first)
	if err != nil {
		return types.NewError(types.ErrDecodingFailure, err.Error(), "")
	}
	if !has {
		return types.NewError(types.ErrIncompatibleCNIVersion, "config version does not allow "+verb, "")
	}
	for _, v := range known.SupportedVersions() {
		if enough, err := version.GreaterThanOrEqualTo(v, configured); err == nil && enough {
			return nil
		}
	}
	return types.NewError(types.ErrIncompatibleCNIVersion, "plugin version does not allow "+verb, "")
}

// checkNetNS refuses the daemon's own network namespace, and does so before anything is done in it. What cannot be
// looked at is the plugin's to judge: at DEL it may be gone.
func (c *Call) checkNetNS() error {
	if c.sameNetNS || c.NetNS == "" {
		return nil
	}
	theirs, err := os.Stat(c.NetNS)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return types.NewError(types.ErrInvalidNetNS, "get plugin's netns failed", err.Error())
	}
	if os.SameFile(ours, theirs) {
		return types.NewError(types.ErrInvalidNetNS, "plugin's netns and netns from CNI_NETNS should not be the same", "")
	}
	return nil
}
