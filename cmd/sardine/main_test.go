// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/stress"
)

func TestCommandLineMistakes(t *testing.T) {
	for line, says := range map[string]string{
		"stress now":                   `no arguments, got "now"`,
		"stress --concurrency 0":       "concurrency is 0",
		"stress --concurrency x":       "concurrency",
		"stress --duration -3s":        "duration is -3s",
		"stress --hold 3 --exec 1":     "hold is a workload of its own",
		"stress --address /none/s":     "no daemon at /none/s",
		"stress --speed 3":             "speed",
		"stress --cri /none/s":         "no daemon at /none/s",
		"stress --cri s --network x":   `network is "x"`,
		"stress --cri s --hold 3":      "go without cri",
		"demo again":                   `no arguments, got "again"`,
		"demo --count 0":               "count is 0",
		"demo --concurrency 0":         "concurrency is 0",
		"demo --daemon /none/sardined": "",
	} {
		t.Run(line, func(t *testing.T) {
			cmd := command()
			cmd.Writer, cmd.ErrWriter = &strings.Builder{}, &strings.Builder{}
			err := cmd.Run(context.Background(), append([]string{"sardine"}, strings.Fields(line)...))
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want an error that says %q", err, says)
			}
		})
	}
}

func TestStressFlagsBecomeOptions(t *testing.T) {
	cmd := stressCommand()
	var got stress.Options
	cmd.Action = func(_ context.Context, c *cli.Command) error {
		got = stressOptions(c)
		return nil
	}
	args := strings.Fields("stress -a /s -n ns --runtime r --snapshotter native -i img -c 3 -d 2s --count 4 --exec 5 --hold 6 --timeout 7s --max-errors 8 --library")
	if err := cmd.Run(context.Background(), args); err != nil {
		t.Fatal(err)
	}
	want := stress.Options{
		Address: "/s", Namespace: "ns", Runtime: "r", Snapshotter: "native", Image: "img",
		Concurrency: 3, Duration: 2 * time.Second, Count: 4, Execs: 5, Hold: 6, Library: true,
		Timeout: 7 * time.Second, MaxErrors: 8,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestStressCRIFlagsBecomeOptions(t *testing.T) {
	cmd := stressCommand()
	var got stress.Options
	cmd.Action = func(_ context.Context, c *cli.Command) error {
		got = stressOptions(c)
		return nil
	}
	if err := cmd.Run(context.Background(), strings.Fields("stress --cri unix:///s --network cni --handler h")); err != nil {
		t.Fatal(err)
	}
	if !got.CRI || got.Address != "unix:///s" || got.Network != stress.NetworkCNI || got.Handler != "h" {
		t.Errorf("got %+v", got)
	}
}
