// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/doctor"
)

// errNotRunnable makes the exit status 1. The report has said why.
var errNotRunnable = errors.New("sardined cannot run here")

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what sardined finds on this machine, what is lost without the rest and how to get it",
		Description: "Changes nothing. The exit status is 1 only if something is missing without which sardined\n" +
			"cannot run; run it as root, since it tries what it asks about.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Value: defaults.DefaultRootDir, Usage: "sardined's root `DIRECTORY`"},
			&cli.StringFlag{Name: "state", Value: defaults.DefaultStateDir, Usage: "sardined's state `DIRECTORY`"},
			&cli.StringFlag{Name: "daemon", Usage: "`PATH` of sardined (default: beside this program, then in PATH)"},
			&cli.StringFlag{Name: "cni-bin", Value: "/opt/cni/bin:/usr/lib/cni", Usage: "`DIRECTORIES` of CNI plugins"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
		},
		Action: runDoctor,
	}
}

func runDoctor(_ context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return fmt.Errorf("doctor takes no arguments, got %q", cmd.Args().First())
	}
	report := doctor.Examine(doctor.Options{
		Root:   cmd.String("root"),
		State:  cmd.String("state"),
		Daemon: cmd.String("daemon"),
		CNIBin: cmd.String("cni-bin"),
	})
	write := report.WriteText
	if cmd.Bool("json") {
		write = report.WriteJSON
	}
	if err := write(os.Stdout); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	if !report.Runnable() {
		return errNotRunnable
	}
	return nil
}
