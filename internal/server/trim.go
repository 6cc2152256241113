// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"runtime/debug"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/sardine-run/sardine/internal/kernel"
)

// trimmer gives back to the kernel, once everything is loaded, what loading
// took: kernel type information for eBPF, protobuf descriptors, configuration.
// That is a third of the heap, which Go would keep until the collector runs
// next, two minutes later on an idle node; and most of the program's file, of
// which initialization has touched every part and little is used later.
type trimmer struct {
	ready func()
}

// registerTrimmer adds the trimmer as the last server: containerd starts its
// servers in the order of their registration, when all plugins are loaded.
func registerTrimmer() {
	registry.Register(&plugin.Registration{
		Type: plugins.ServerPlugin,
		ID:   "trim",
		InitFn: func(ic *plugin.InitContext) (any, error) {
			return &trimmer{ready: ic.RegisterReadiness()}, nil
		},
	})
}

// Start trims the heap, before the daemon says that it is ready.
func (t *trimmer) Start(ctx context.Context) error {
	debug.FreeOSMemory()
	if err := kernel.DiscardProgram(); err != nil {
		log.G(ctx).WithError(err).Debug("give back the memory of the program's file")
	}
	t.ready()
	return nil
}
