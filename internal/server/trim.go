// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/sardine-run/sardine/internal/kernel"
)

// quiet is how long Go's collector must not have run before the daemon counts as idle.
const quiet = 10 * time.Second

// trimmer gives memory back to the kernel. First, once everything is loaded, what loading
// took: kernel type information for eBPF, protobuf descriptors, configuration.
// That is a third of the heap; and most of the program's file, of
// which initialization has touched every part and little is used later.
//
// Then, whenever the daemon has been idle for a while, the garbage of what it did
// before: as much as what is in use, which Go would keep for the next work.
type trimmer struct {
	ready func()
	free  func() // debug.FreeOSMemory
	idle  *time.Timer
	seen  atomic.Uint64 // collections at the time of the last trim
	over  atomic.Bool
}

// registerTrimmer adds the trimmer as the last server: containerd starts its
// servers in the order of their registration, when all plugins are loaded.
func registerTrimmer() {
	registry.Register(&plugin.Registration{
		Type: plugins.ServerPlugin,
		ID:   "trim",
		InitFn: func(ic *plugin.InitContext) (any, error) {
			return &trimmer{ready: ic.RegisterReadiness(), free: debug.FreeOSMemory}, nil
		},
	})
}

// Start trims the heap, before the daemon says that it is ready, and from then on when it is idle.
func (t *trimmer) Start(ctx context.Context) error {
	t.free()
	if err := kernel.DiscardProgram(); err != nil {
		log.G(ctx).WithError(err).Debug("give back the memory of the program's file")
	}
	t.whenIdle(quiet)
	t.ready()
	return nil
}

// Close ends trimming.
func (t *trimmer) Close() error {
	t.over.Store(true)
	if t.idle != nil {
		t.idle.Stop()
	}
	return nil
}

// whenIdle trims the heap every time when there were collections and then none for so long. Nothing wakes up for it in a daemon that
// does nothing: it is the collector that says that it has run.
func (t *trimmer) whenIdle(after time.Duration) {
	t.idle = time.AfterFunc(after, func() {
		t.seen.Store(collections())
		t.free()
	})
	t.afterCollection(after)
}

// afterCollection puts the time off, after every collection but those of trimming itself.
func (t *trimmer) afterCollection(after time.Duration) {
	unused := new([]byte)
	runtime.AddCleanup(unused, func(t *trimmer) {
		if t.over.Load() {
			return
		}
		if collections() != t.seen.Load() {
			t.idle.Reset(after)
		}
		t.afterCollection(after)
	}, t)
}

// collections counts those that nobody asked for.
func collections() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
