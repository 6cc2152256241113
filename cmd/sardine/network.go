// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/netcheck"
)

func networkCommand() *cli.Command {
	return &cli.Command{
		Name:  "network",
		Usage: "list what pods have of the network, find and remove what is left over",
		Description: "Compares what plugins keep on disk and in the kernel with the pods that the daemon has. What is looked\n" +
			"at: leases of host-local, nftables and iptables rules of masquerading and host ports, ports of bridges,\n" +
			"network namespaces, and the daemon's records. The networks are those of the CNI configuration and of pods.\n\n" +
			"   sardine network list                  all pods with interfaces, addresses and host ports\n" +
			"   sardine network list -o json          the same for programs\n" +
			"   sardine network check                 exit status 1 if something is left over, and what\n" +
			"   sardine network repair                remove it; the daemon has to run",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Aliases: []string{"a"}, Value: defaults.DefaultAddress, Usage: "CRI socket of the daemon"},
			&cli.StringFlag{Name: "state", Value: defaults.DefaultStateDir, Usage: "the daemon's state `DIRECTORY`"},
			&cli.StringFlag{Name: "root", Value: defaults.DefaultRootDir, Usage: "the daemon's root `DIRECTORY`"},
			&cli.StringFlag{Name: "cni-conf-dir", Value: "/etc/cni/net.d", Usage: "`DIRECTORY` of the CNI configuration"},
			&cli.StringSliceFlag{Name: "other-cache", Value: []string{"/var/lib/cni"}, Usage: "`DIRECTORY` of the results of other runtimes, whose containers count as pods"},
		},
		Commands: []*cli.Command{networkListCommand(), networkCheckCommand(), networkRepairCommand()},
	}
}

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT`: table or json"}
}

func networkListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "show pods with interfaces, addresses and host ports", Flags: []cli.Flag{outputFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			asJSON, err := networkArguments(cmd)
			if err != nil {
				return err
			}
			pods, err := netcheck.List(ctx, networkOptions(cmd))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(pods)
			}
			return netcheck.WriteTable(os.Stdout, pods)
		},
	}
}

func networkCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "name what belongs to no pod; exit status 1 if there is something", Flags: []cli.Flag{outputFlag()},
		Description: "Changes nothing. Takes three seconds when it finds something: what is only on its way is gone by then.",
		Action: func(ctx context.Context, cmd *cli.Command) error {
			asJSON, err := networkArguments(cmd)
			if err != nil {
				return err
			}
			report, err := netcheck.Check(ctx, networkOptions(cmd))
			if err != nil {
				return err
			}
			return printReport(report, asJSON)
		},
	}
}

func networkRepairCommand() *cli.Command {
	return &cli.Command{
		Name: "repair", Usage: "remove what check finds", Flags: []cli.Flag{outputFlag()},
		Description: "Removes only what was made for pods of this daemon and belongs to none, after the same checks. The exit status is 1\n" +
			"if something is left.",
		Action: func(ctx context.Context, cmd *cli.Command) error {
			asJSON, err := networkArguments(cmd)
			if err != nil {
				return err
			}
			report, removed, err := netcheck.Repair(ctx, networkOptions(cmd))
			if err != nil {
				return err
			}
			if !asJSON {
				for i := range removed {
					fmt.Println("removed:", removed[i].String())
				}
			}
			return printReport(report, asJSON)
		},
	}
}

func networkArguments(cmd *cli.Command) (asJSON bool, err error) {
	if cmd.Args().Present() {
		return false, fmt.Errorf("network %s takes no arguments, got %q", cmd.Name, cmd.Args().First())
	}
	switch format := cmd.String("output"); format {
	case "json":
		return true, nil
	case "table":
		return false, nil
	default:
		return false, fmt.Errorf("output is %q, not table or json", format)
	}
}

func networkOptions(cmd *cli.Command) netcheck.Options {
	return netcheck.Options{
		Address: cmd.String("address"), State: cmd.String("state"), Root: cmd.String("root"),
		ConfDir: cmd.String("cni-conf-dir"), OtherCaches: cmd.StringSlice("other-cache"),
	}
}

var errLeftOver = errors.New("something is left over")

func printReport(report *netcheck.Report, asJSON bool) error {
	if asJSON {
		if report.Findings == nil {
			report.Findings = []netcheck.Finding{}
		}
		if err := printJSON(report); err != nil {
			return err
		}
	} else {
		report.Write(os.Stdout)
	}
	if len(report.Findings) > 0 {
		return errLeftOver
	}
	return nil
}

func printJSON(v any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
