// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"

	"github.com/containerd/containerd/v2/cmd/containerd/command"
	containerd "github.com/containerd/containerd/v2/version"
	"github.com/containerd/plugin"
	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/task"
)

// Version is the version of Sardine, set by the linker.
//
// What clients read over the version service is containerd's, which they
// compare with the features they need, with ours as its build metadata
// (v2.4.2+sardine.0.1.0); the linker sets that one too.
var Version = "0.0.0+unknown"

const usage = "container runtime daemon, in the place of containerd"

const description = `
sardined serves containerd's API on containerd's socket, from containerd's
configuration file, and runs the containers itself: no shim process, no runtime
binary. Without a command it starts the daemon in the foreground.

If /etc/containerd/config.toml is missing, the defaults are used; print them
with "sardined config default".`

// App returns sardined's command line: the daemon, and "config default",
// "config dump" and "config migrate". It changes the process-wide plugin
// registry, so call it once.
func App() (*cli.Command, error) {
	if err := ReplaceTaskRuntime(taskRuntime); err != nil {
		return nil, err
	}
	if err := replaceCRI(); err != nil {
		return nil, err
	}
	registerTrimmer()
	app := command.App()
	app.Name = "sardined"
	app.Usage = usage
	app.Description = description
	app.Version = fmt.Sprintf("%s (containerd API %s)", Version, containerd.Version)
	return app, nil
}

// taskRuntime is ours, with containerd's inside.
func taskRuntime(stock plugin.Registration) plugin.Registration {
	return task.Registration(stock, Version)
}
