// SPDX-License-Identifier: Apache-2.0

// Command sardine is the command line of the Sardine container runtime.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/containerd/containerd/v2/version"
	"github.com/urfave/cli/v3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean end; the next one kills as usual.
	context.AfterFunc(ctx, stop)
	if err := command().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "sardine:", err)
		os.Exit(1)
	}
}

func command() *cli.Command {
	return &cli.Command{
		Name:    "sardine",
		Usage:   "look at, try and measure the Sardine container runtime",
		Version: version.Version,
		Commands: []*cli.Command{
			demoCommand(),
			demoServeCommand(),
			doctorCommand(),
			networkCommand(),
			stressCommand(),
			topCommand(),
		},
	}
}
