// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
)

// network is a plugin chain, and the name of the interface that it makes.
type network struct {
	list   *libcni.NetworkConfigList
	ifName string
}

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// loadFile reads a list of plugins from a file *.conflist, or a single plugin's configuration, the
// form of CNI before 1.0, from any other. All plugins are in the list's Bytes, wherever they came from.
func loadFile(path string) (*libcni.NetworkConfigList, error) {
	text, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(path) != ".conflist" {
		if text, err = listOfOne(text); err != nil {
			return nil, err
		}
		return parseList(text)
	}
	list, err := libcni.NetworkConfFromBytes(text)
	if err != nil {
		return nil, err
	}
	if !list.LoadOnlyInlinedPlugins {
		if err := loadPlugins(list, filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	if text, err = inlined(list); err != nil {
		return nil, err
	}
	return parseList(text)
}

// readRegular does not open what could block or never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("has %d bytes, more than %d", info.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// loadPlugins appends the plugins of the directory that has the network's name, CNI 1.1.
func loadPlugins(list *libcni.NetworkConfigList, dir string) error {
	if err := utils.ValidateNetworkName(list.Name); err != nil {
		return err // it could lead out of dir
	}
	plugins, err := libcni.NetworkPluginConfsFromFiles(dir, list.Name)
	if err != nil {
		return err
	}
	list.Plugins = append(list.Plugins, plugins...)
	return nil
}

// listOfOne makes a list of a single plugin's configuration.
func listOfOne(text []byte) ([]byte, error) {
	plugin, err := libcni.NetworkPluginConfFromBytes(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"name":       plugin.Network.Name,
		"cniVersion": plugin.Network.CNIVersion,
		"plugins":    []json.RawMessage{text},
	})
}

// inlined is the list with all its plugins, and in the version that was chosen, so that
// it means the same for ever.
func inlined(list *libcni.NetworkConfigList) ([]byte, error) {
	var raw map[string]any
	if err := json.Unmarshal(list.Bytes, &raw); err != nil {
		return nil, err
	}
	plugins := make([]json.RawMessage, len(list.Plugins))
	for i, p := range list.Plugins {
		plugins[i] = p.Bytes
	}
	raw["plugins"] = plugins
	raw["loadOnlyInlinedPlugins"] = true
	raw["cniVersion"] = list.CNIVersion
	delete(raw, "cniVersions")
	return json.Marshal(raw)
}

// parseList reads a complete list and checks that it can be used.
func parseList(text []byte) (*libcni.NetworkConfigList, error) {
	list, err := libcni.NetworkConfFromBytes(text)
	if err != nil {
		return nil, err
	}
	if err := utils.ValidateNetworkName(list.Name); err != nil {
		return nil, err
	}
	if len(list.Plugins) == 0 {
		return nil, errors.New("no plugins")
	}
	for i, p := range list.Plugins {
		if err := checkPlugin(p.Network); err != nil {
			return nil, fmt.Errorf("plugin %d: %w", i, err)
		}
	}
	return list, nil
}

func checkPlugin(p *types.PluginConf) error {
	if p.Type != filepath.Base(p.Type) || p.Type == "." || p.Type == ".." {
		return fmt.Errorf("type %q is not a file name", p.Type)
	}
	return nil
}
