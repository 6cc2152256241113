// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/task"
)

// ourHandler is there without being configured, so that there is a handler that is ours.
const ourHandler = "sardine"

// runcType is the runtime of containerd's default configuration.
const runcType = "io.containerd.runc.v2"

// shimHandlers are the runtime handlers that containerd's own CRI server runs: those of other runtimes than
// ours. The one of runc, which is in every configuration, is ours too unless the configuration of the task runtime says
// that runc's containers are the shim's.
func shimHandlers(s *runtimeSettings, stockRunc bool) []string {
	var shims []string
	for _, name := range slices.Sorted(maps.Keys(s.Containerd.Runtimes)) {
		switch s.Containerd.Runtimes[name].Type {
		case task.Name, "":
		case runcType:
			if stockRunc {
				shims = append(shims, name)
			}
		default:
			shims = append(shims, name)
		}
	}
	return shims
}

// defaultHandler is the configured one if it is ours.
func (b *builder) defaultHandler() string {
	name := b.settings.Containerd.DefaultRuntimeName
	if slices.Contains(b.handlerNames(), name) {
		return name
	}
	return ourHandler
}

// handlers are ours of the configuration.
func (b *builder) handlers() (map[string]*pod.Handler, error) {
	handlers := map[string]*pod.Handler{ourHandler: {}}
	if h, ok := b.settings.Containerd.Runtimes[b.settings.Containerd.DefaultRuntimeName]; ok && h.Type == runcType {
		// What is configured for the default runtime holds for ours in its place.
		handlers[ourHandler].CgroupDriver = h.driver()
	}
	for _, name := range b.handlerNames() {
		h, err := b.handler(name)
		if err != nil {
			return nil, fmt.Errorf("runtime handler %s: %w", name, err)
		}
		handlers[name] = h
	}
	return handlers, nil
}

func (b *builder) handler(name string) (*pod.Handler, error) {
	section := b.settings.Containerd.Runtimes[name]
	spec, err := section.handler()
	if err != nil {
		return nil, err
	}
	h := &pod.Handler{
		Handler: spec, Snapshotter: section.Snapshotter, CgroupDriver: section.driver(),
		NoPivotRoot: section.option("NoPivotRoot"), NoNewKeyring: section.option("NoNewKeyring"),
	}
	if binary, _ := section.Options["BinaryName"].(string); binary != "" {
		log.L.Warnf("runtime handler %s: BinaryName = %q is not used: pods are run without an OCI runtime; "+
			`set plugins."io.containerd.runtime.v2.task".sardine.stock_runc = "shim" to have it run`, name, binary)
	}
	return h, nil
}

// openStock makes containerd's own CRI server if a shim's handler needs it.
func (b *builder) openStock() error {
	if len(b.shims) == 0 {
		return nil
	}
	instance, err := b.stock[serverURI].InitFn(b.stockContext())
	if err != nil {
		return fmt.Errorf("containerd's CRI server, for the runtime handlers %q: %w", b.shims, err)
	}
	server, ok := instance.(stockServer)
	if !ok {
		return fmt.Errorf("containerd's CRI server is a %T", instance)
	}
	b.stockCRI = server
	b.onClose(server.Close)
	return nil
}
