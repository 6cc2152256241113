// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/sardine-run/sardine/internal/criplugin"
)

// taskRuntimeID is the id under which containerd's tasks service looks up the
// one runtime it sends every task to, whatever the task's runtime name.
const taskRuntimeID = "task"

var errNoTaskRuntime = errors.New("containerd registered no task runtime to replace")

// ReplaceTaskRuntime puts replace(stock) in the place of containerd's task
// runtime. The stock registration is handed over rather than dropped so that
// the new one can call its InitFn and send other runtime names there: two
// registrations of one id panic, and containerd's sandbox plugin needs the
// package that makes the stock one, so it can't simply be left out.
//
// It rebuilds containerd's process-wide registry: call it before the server
// loads its plugins, and not concurrently with anything that registers.
func ReplaceTaskRuntime(replace func(stock plugin.Registration) plugin.Registration) error {
	registrations := registry.Graph(nil)
	i := indexTaskRuntime(registrations)
	if i < 0 {
		return errNoTaskRuntime
	}
	task := replace(registrations[i])
	if task.Type != plugins.RuntimePluginV2 || task.ID != taskRuntimeID {
		return fmt.Errorf("task runtime %s: the tasks service only looks for %s.%s",
			task.URI(), plugins.RuntimePluginV2, taskRuntimeID)
	}
	registrations[i] = task
	reregister(registrations)
	return nil
}

// replaceCRI puts our CRI server in the place of containerd's, under the same conditions.
func replaceCRI() error {
	registrations := registry.Graph(nil)
	registrations, err := criplugin.Take(registrations, Version)
	if err != nil {
		return err
	}
	reregister(registrations)
	return nil
}

func reregister(registrations []plugin.Registration) {
	registry.Reset()
	for i := range registrations {
		registry.Register(&registrations[i])
	}
}

func indexTaskRuntime(registrations []plugin.Registration) int {
	for i := range registrations {
		r := &registrations[i]
		if r.Type == plugins.RuntimePluginV2 && r.ID == taskRuntimeID {
			return i
		}
	}
	return -1
}
