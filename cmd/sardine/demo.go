// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/demo"
	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/throwaway"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "start many containers in a private daemon and show what they cost",
		Description: "Needs root, but no network, no image, no CNI plugins and no configuration. Everything is made in a temporary\n" +
			"directory and a network namespace of its own, and removed at the end, or on Ctrl-C.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "count", Value: 100, Usage: "number of containers"},
			&cli.IntFlag{Name: "concurrency", Aliases: []string{"c"}, Value: 4, Usage: "how many are started at the same time"},
			&cli.StringFlag{Name: "runtime", Value: stress.DefaultRuntime, Usage: "runtime `NAME`"},
			&cli.StringFlag{Name: "daemon", Usage: "`PATH` of sardined (default: beside this program, then in PATH)"},
		},
		Action: runDemo,
	}
}

// demoServeCommand is what the demonstration runs in a pod.
func demoServeCommand() *cli.Command {
	return &cli.Command{
		Name: demo.ServeArgument, Usage: "answer HTTP requests in the demonstration's pod", Hidden: true,
		Action: func(context.Context, *cli.Command) error { return demo.Serve() },
	}
}

func runDemo(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return fmt.Errorf("demo takes no arguments, got %q", cmd.Args().First())
	}
	options := demo.Options{
		Daemon:  cmd.String("daemon"),
		Runtime: cmd.String("runtime"),
		Count:   cmd.Int("count"),
		Workers: cmd.Int("concurrency"),
	}
	if err := options.Validate(); err != nil {
		return err
	}
	if options.Runtime == stress.DefaultRuntime { // the network without CNI plugins is ours too
		self, err := os.Executable()
		if err != nil {
			return err
		}
		options.Server = self
	}
	if options.Daemon == "" {
		found, err := throwaway.Find("sardined")
		if err != nil {
			return err
		}
		options.Daemon = found
	}
	display := demo.NewDisplay(os.Stdout)
	defer display.Close()
	return demo.Run(ctx, options, display)
}
