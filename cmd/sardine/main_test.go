// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/top"
)

func TestCommandLineMistakes(t *testing.T) {
	for line, says := range map[string]string{
		"stress now":                               `no arguments, got "now"`,
		"stress --concurrency 0":                   "concurrency is 0",
		"stress --concurrency x":                   "concurrency",
		"stress --duration -3s":                    "duration is -3s",
		"stress --hold 3 --exec 1":                 "hold is a workload of its own",
		"stress --address /none/s":                 "no daemon at /none/s",
		"stress --speed 3":                         "speed",
		"stress --cri /none/s":                     "no daemon at /none/s",
		"stress --cri s --network x":               `network is "x"`,
		"stress --cri s --library":                 "goes without cri",
		"stress --stop 3":                          "they go with cri",
		"stress --cri s --stop 3 --exec 2":         "stop is a workload of its own",
		"stress --cri s --probe 3 --hold 2":        "probe is a workload of its own",
		"stress --cri s --every 1s":                "goes with probe",
		"stress --cri s --probe 3 --every 1s -c 2": "without concurrency",
		"stress --cri s --command true":            "goes with one of them",
		"demo again":                               `no arguments, got "again"`,
		"demo --count 0":                           "count is 0",
		"demo --concurrency 0":                     "concurrency is 0",
		"demo --daemon /none/sardined":             "",
		"network list all":                         `no arguments, got "all"`,
		"network check -o yaml":                    `output is "yaml"`,
		"network --state s check":                  "not an absolute path",
		"network -a /none/s list":                  "is it running at /none/s",
		"network -a /none/s repair":                "start it",
		"top now":                                  `no arguments, got "now"`,
		"top --sort size":                          `sort is "size"`,
		"top --interval 1ms":                       "interval is 1ms",
		"top --json":                               "json goes with once",
		"top --address /none/s":                    "no daemon at /none/s",
		"top --once -a unix:///none/s":             "no daemon at /none/s",
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
	args := strings.Fields("stress -a /s -n ns --runtime r --snapshotter native -i img -c 3 -d 2s --count 4 --exec 5 --hold 6 --command x --stop 9 --probe 10 --every 11s --timeout 7s --max-errors 8 --library")
	if err := cmd.Run(context.Background(), args); err != nil {
		t.Fatal(err)
	}
	want := stress.Options{
		Address: "/s", Namespace: "ns", Runtime: "r", Snapshotter: "native", Image: "img",
		Concurrency: 3, Duration: 2 * time.Second, Count: 4, Execs: 5, Hold: 6, Library: true,
		Command: "x", Stop: 9, Probe: 10, Every: 11 * time.Second,
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

func TestTopFlagsBecomeOptions(t *testing.T) {
	cmd := topCommand()
	var got top.Options
	cmd.Action = func(_ context.Context, c *cli.Command) error {
		got = topOptions(c)
		return nil
	}
	args := strings.Fields("top -a /s -n ns --sort age --reverse --containers --interval 3s --metrics 127.0.0.1:1338")
	if err := cmd.Run(context.Background(), args); err != nil {
		t.Fatal(err)
	}
	want := top.Options{
		Address: "/s", Namespace: "ns", Sort: top.ByAge, Reverse: true, Containers: true, Interval: 3 * time.Second, Metrics: "127.0.0.1:1338",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
