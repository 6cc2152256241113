// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/stress"
)

func stressCommand() *cli.Command {
	return &cli.Command{
		Name:  "stress",
		Usage: "time the lives of many short containers",
		Description: "Creates, starts and deletes containers with any containerd and any runtime name, or holds a\n" +
			"number of them and measures what they cost the node. With --cri pods of one container live instead, in any\n" +
			"CRI server; they can also be stopped all at once, and commands or probes be executed in them. The exit status\n" +
			"is 1 if a container, a pod or a command failed.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Aliases: []string{"a"}, Value: defaults.DefaultAddress, Usage: "socket of the daemon"},
			&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, Value: "sardine-stress", Usage: "containerd namespace; one that does not exist is made and removed"},
			&cli.StringFlag{Name: "runtime", Value: stress.DefaultRuntime, Usage: "runtime `NAME`"},
			&cli.StringFlag{Name: "snapshotter", Usage: "snapshotter `NAME` (default: overlayfs where it works, otherwise native)"},
			&cli.StringFlag{Name: "image", Aliases: []string{"i"}, Usage: "image with true and sleep that the daemon has (default: a tiny one, imported for the run)"},
			&cli.IntFlag{Name: "concurrency", Aliases: []string{"c"}, Value: 1, Usage: "number of workers"},
			&cli.DurationFlag{Name: "duration", Aliases: []string{"d"}, Value: 10 * time.Second, Usage: "length of the run"},
			&cli.IntFlag{Name: "count", Usage: "number of containers instead of a duration"},
			&cli.IntFlag{Name: "exec", Usage: "further processes to run in each container"},
			&cli.StringFlag{Name: "command", Usage: "what exec and probe execute, in `WORDS` between spaces (default: true)"},
			&cli.StringFlag{Name: "cri", Usage: "CRI `SOCKET` in which pods are to live"},
			&cli.StringFlag{Name: "network", Value: stress.NetworkHost, Usage: "network of pods: host or cni"},
			&cli.IntFlag{Name: "host-port", Usage: "with network cni: map a port of the node to each pod, from `PORT` on"},
			&cli.StringFlag{Name: "handler", Usage: "runtime handler of pods (default: the server's)"},
			&cli.IntFlag{Name: "hold", Usage: "start `N` containers or pods, leave them running, measure, delete them"},
			&cli.DurationFlag{Name: "idle", Usage: "with hold: let the daemon be idle for so long, measure its CPU use meanwhile and memory then"},
			&cli.IntFlag{Name: "stop", Usage: "start `N` pods, stop them on all workers with SIGTERM, measure that, delete them"},
			&cli.IntFlag{Name: "probe", Usage: "start `N` pods, execute command in them on all workers (so often as exec says, or for the duration), measure that, delete them"},
			&cli.DurationFlag{Name: "every", Usage: "with probe: not the workers but a client for each pod, which executes so often, as a kubelet does"},
			&cli.BoolFlag{Name: "library", Usage: "drive the client library's containers and tasks, as containerd-stress does, not one call per step"},
			&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "limit for the life of one container, and for a command in it"},
			&cli.IntFlag{Name: "max-errors", Value: 100, Usage: "end the run after so many errors"},
			&cli.BoolFlag{Name: "json", Aliases: []string{"j"}, Usage: "print JSON"},
		},
		Action: runStress,
	}
}

func runStress(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return fmt.Errorf("stress takes no arguments, got %q", cmd.Args().First())
	}
	// The daemon is to be measured, not the garbage of its client.
	debug.SetGCPercent(400)
	result, err := stress.Run(ctx, stressOptions(cmd))
	if result != nil {
		if printErr := printStress(result, cmd.Bool("json")); printErr != nil {
			return printErr
		}
	}
	if err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d errors, the first: %s", result.Errors, result.ErrorKinds[0].Text)
	}
	return nil
}

func stressOptions(cmd *cli.Command) stress.Options {
	o := containerOptions(cmd)
	if endpoint := cmd.String("cri"); endpoint != "" {
		o.Address, o.CRI, o.Network, o.Handler = endpoint, true, cmd.String("network"), cmd.String("handler")
		o.Port = cmd.Int("host-port")
	}
	return o
}

func containerOptions(cmd *cli.Command) stress.Options {
	return stress.Options{
		Address:     cmd.String("address"),
		Namespace:   cmd.String("namespace"),
		Runtime:     cmd.String("runtime"),
		Snapshotter: cmd.String("snapshotter"),
		Image:       cmd.String("image"),
		Concurrency: cmd.Int("concurrency"),
		Duration:    cmd.Duration("duration"),
		Count:       cmd.Int("count"),
		Execs:       cmd.Int("exec"),
		Command:     cmd.String("command"),
		Hold:        cmd.Int("hold"),
		Stop:        cmd.Int("stop"),
		Probe:       cmd.Int("probe"),
		Every:       cmd.Duration("every"),
		Idle:        cmd.Duration("idle"),
		Library:     cmd.Bool("library"),
		Timeout:     cmd.Duration("timeout"),
		MaxErrors:   cmd.Int("max-errors"),
	}
}

func printStress(result *stress.Result, asJSON bool) error {
	if asJSON {
		return result.WriteJSON(os.Stdout)
	}
	result.WriteTable(os.Stdout)
	return nil
}
