// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/top"
)

func topCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "show what pods use of this node, and the daemon beside them",
		Description: "Looks at any CRI server. Percent are of one CPU, memory is the working set, restarts are those\n" +
			"the kubelet has counted. Keys: q quits; c, m, r, n, a sort by cpu, memory, restarts, name, age and\n" +
			"i inverts the order; t shows containers; arrows, PgUp, PgDn, Home and End scroll.\n\n" +
			"With --once one table is printed, of two samples an interval apart, or with --json an object:\n" +
			"node, daemon and pods with their containers, in fields whose names do not change and end in their\n" +
			"unit; null is not known.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Aliases: []string{"a"}, Value: defaults.DefaultAddress, Usage: "socket of the CRI server"},
			&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, Usage: "Kubernetes `NAMESPACE` of the pods to show (default: all)"},
			&cli.StringFlag{Name: "sort", Value: string(top.ByCPU), Usage: "`ORDER` of the pods: " + top.OrderNames()},
			&cli.BoolFlag{Name: "reverse", Usage: "invert the order"},
			&cli.BoolFlag{Name: "containers", Usage: "show containers below their pods"},
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "time between two samples"},
			&cli.StringFlag{Name: "metrics", Usage: "`ADDRESS` of the daemon's metrics, as in its configuration, for what only it can tell"},
			&cli.BoolFlag{Name: "once", Usage: "print one table and end"},
			&cli.BoolFlag{Name: "json", Aliases: []string{"j"}, Usage: "with --once: print JSON"},
		},
		Action: runTop,
	}
}

var errJSONOnce = errors.New("json goes with once")

func runTop(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return fmt.Errorf("top takes no arguments, got %q", cmd.Args().First())
	}
	options, once, asJSON := topOptions(cmd), cmd.Bool("once"), cmd.Bool("json")
	switch {
	case once:
		return printTop(ctx, options, asJSON)
	case asJSON:
		return errJSONOnce
	}
	return top.Watch(ctx, options)
}

func topOptions(cmd *cli.Command) top.Options {
	return top.Options{
		Address:    cmd.String("address"),
		Metrics:    cmd.String("metrics"),
		Interval:   cmd.Duration("interval"),
		Namespace:  cmd.String("namespace"),
		Sort:       top.Order(cmd.String("sort")),
		Reverse:    cmd.Bool("reverse"),
		Containers: cmd.Bool("containers"),
	}
}

func printTop(ctx context.Context, options top.Options, asJSON bool) error {
	report, err := top.Once(ctx, options)
	if err != nil {
		return err
	}
	if asJSON {
		return report.WriteJSON(os.Stdout)
	}
	return report.WriteTable(os.Stdout, options)
}
