// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"github.com/containernetworking/cni/libcni"

	"github.com/sardine-run/sardine/internal/cniplugin/builtin"
)

// inside makes the actor of the plugins inside the daemon. What is not among them is executed.
func inside(programs string) (*actor, error) {
	plugins, err := builtin.New()
	if err != nil {
		return nil, err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{programs}, cacheDir, plugins.Set(newPrograms()))
	return &actor{cni, plugins.Close}, nil
}
