// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"context"
	"errors"

	"github.com/containernetworking/cni/pkg/types"
)

// Plugin is one type of plugin. Its methods are called concurrently, also for one container. They end soon after
// ctx does. Errors that are or wrap a *types.Error reach the client with its code, others with 999 as the reference plugins' do.
type Plugin interface {
	// Add attaches. The result may have any version; the caller gets the configuration's. On error the plugin has
	// undone what it did.
	Add(ctx context.Context, c *Call) (types.Result, error)
	// Del detaches; nil when there is nothing to detach. c.NetNS is "" when the namespace is gone.
	Del(ctx context.Context, c *Call) error
	// Check is nil when the container is attached as c.Config's prevResult says.
	Check(ctx context.Context, c *Call) error
	// Status is nil when Add can be called.
	Status(ctx context.Context, c *Call) error
	// GC drops what belongs to attachments of this network that c.Config does not list as valid.
	GC(ctx context.Context, c *Call) error
}

// ErrDeclined is returned by a plugin, before any side effect, for a configuration that only the program of its
// type can do. The Set then executes that.
var ErrDeclined = errors.New("not done inside the daemon")

// Call is one invocation. Nobody changes it.
type Call struct {
	ContainerID string // CNI_CONTAINERID
	NetNS       string // CNI_NETNS: the path of the network namespace
	IfName      string // CNI_IFNAME
	Args        string // CNI_ARGS: K=V;K=V
	Path        string // CNI_PATH, for delegates
	Config      []byte // standard input: the plugin's configuration with cniVersion, name, runtimeConfig, prevResult

	set       *Set
	sameNetNS bool // CNI_NETNS_OVERRIDE: NetNS may be the daemon's own
	early     bool // STATUS before the configuration is used, whatever version it has
	depth     int  // of delegates
}
