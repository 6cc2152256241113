// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// maxDepth bounds delegates of delegates: a plugin may be configured to delegate to itself.
const maxDepth = 4

// DelegateAdd calls ADD of another plugin, an IPAM plugin usually, with this call's configuration.
func (c *Call) DelegateAdd(ctx context.Context, plugin string) (types.Result, error) {
	result, path, err := c.inside(ctx, plugin, verbAdd)
	if path == "" {
		return result, err
	}
	return invoke.ExecPluginWithResult(ctx, path, c.Config, c.arguments(verbAdd), c.set.binaries)
}

// DelegateDel calls DEL of another plugin.
func (c *Call) DelegateDel(ctx context.Context, plugin string) error {
	return c.delegate(ctx, plugin, verbDel)
}

// DelegateCheck calls CHECK of another plugin.
func (c *Call) DelegateCheck(ctx context.Context, plugin string) error {
	return c.delegate(ctx, plugin, verbCheck)
}

// DelegateStatus calls STATUS of another plugin.
func (c *Call) DelegateStatus(ctx context.Context, plugin string) error {
	return c.status(ctx, plugin)
}

// DelegateGC calls GC of another plugin.
func (c *Call) DelegateGC(ctx context.Context, plugin string) error {
	return c.delegate(ctx, plugin, verbGC)
}

func (c *Call) delegate(ctx context.Context, plugin, verb string) error {
	_, path, err := c.inside(ctx, plugin, verb)
	if path == "" {
		return err
	}
	return invoke.ExecPluginWithoutResult(ctx, path, c.Config, c.arguments(verb), c.set.binaries)
}

// status asks a program only when its version has the verb.
func (c *Call) status(ctx context.Context, plugin string) error {
	_, path, err := c.inside(ctx, plugin, verbStatus)
	if path == "" {
		return err
	}
	if c.early {
		configured, err := checkHeader(c.Config)
		if err != nil {
			return err
		}
		if has, err := version.GreaterThanOrEqualTo(configured, since[verbStatus]); err != nil || !has {
			return err
		}
	}
	return invoke.ExecPluginWithoutResult(ctx, path, c.Config, c.arguments(verbStatus), c.set.binaries)
}

// inside calls a plugin of the set. When it is none, or declines, path is the program to execute.
func (c *Call) inside(ctx context.Context, plugin, verb string) (result types.Result, path string, err error) {
	if _, ok := c.set.plugins[plugin]; !ok {
		path, err = c.set.binaries.FindInPath(plugin, filepath.SplitList(c.Path))
		return nil, path, err
	}
	if c.depth == maxDepth {
		return nil, "", types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("plugin %s: too many delegates of delegates", plugin), "")
	}
	further := *c
	further.depth++
	result, err = c.set.run(ctx, plugin, verb, &further)
	if errors.Is(err, ErrDeclined) {
		path, err = c.set.program(plugin, c.Path, err)
	}
	return result, path, err
}

func (c *Call) arguments(verb string) *invoke.Args {
	return &invoke.Args{Command: verb, ContainerID: c.ContainerID, NetNS: c.NetNS, PluginArgsStr: c.Args, IfName: c.IfName, Path: c.Path}
}
