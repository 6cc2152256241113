// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/kernel"
)

// Status implements cniplugin.Plugin: it fails when every ADD would. That all addresses are taken is no reason:
// one pod less, and there is one, while a node that is not ready loses them all.
func (p *Plugin) Status(_ context.Context, c *cniplugin.Call) error {
	if rangesComeWithADD(c.Config) {
		path, err := loadPath(c.Config)
		if err != nil {
			return err
		}
		return writable(path)
	}
	conf, err := load(c)
	if err != nil {
		return err
	}
	if conf.resolvConf != "" {
		if _, err := resolvConf(conf.resolvConf); err != nil {
			return failed(types.ErrPluginNotAvailable, "resolvConf cannot be read", err)
		}
	}
	return writable(conf.path)
}

// rangesComeWithADD reports a configuration without ranges whose runtime gives them to ADD.
func rangesComeWithADD(text []byte) bool {
	var conf struct {
		Capabilities map[string]bool
		IPAM         struct {
			Subnet *string
			Ranges []json.RawMessage
		}
	}
	if json.Unmarshal(text, &conf) != nil {
		return false
	}
	return conf.Capabilities["ipRanges"] && conf.IPAM.Subnet == nil && len(conf.IPAM.Ranges) == 0
}

// writable looks at path or, when it has not been made yet, at the closest directory above.
func writable(path string) error {
	for {
		err := kernel.MayCreateIn(path)
		if err == nil {
			return nil
		}
		above := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || above == path {
			return failed(types.ErrPluginNotAvailable, "addresses cannot be written down", err)
		}
		path = above
	}
}
