// SPDX-License-Identifier: Apache-2.0

// Command floor measures what the least of containers costs a node: a number of
// processes, each with namespaces, cgroups, an overlay root and the usual mounts
// of its own, and no runtime at all. They run the program of the tiny image, as
// the pods of `sardine stress` do. With a bridge each has a network namespace too,
// attached by the CNI plugin that pods get.
//
// It prints the growth as JSON and removes everything. It needs root, and a
// network namespace that nobody else uses: the bridge is left in it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/sardine-run/sardine/internal/footprint"
)

// childArg is argv[1] of this program when it is to become a tenant.
const childArg = "tenant"

// init becomes a tenant on the process's first thread, to which its namespaces
// belong, before anything else runs.
func init() {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		runtime.LockOSThread()
		fmt.Fprintln(os.Stderr, "floor:", become(os.Args[2]))
		os.Exit(1)
	}
}

func main() {
	count := flag.Int("count", 200, "how many processes")
	cgroups := flag.String("cgroups", "all", "one directory each in `all` hierarchies, or in that of version 2 alone (one)")
	plugin := flag.String("bridge", "", "`PATH` of the CNI plugin bridge; empty: the network is shared")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	growth, err := measure(ctx, *count, *cgroups == "one", *plugin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(growth)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, count int, oneCgroup bool, plugin string) (growth footprint.Growth, err error) {
	house, err := newHouse(oneCgroup, plugin)
	if err != nil {
		return growth, err
	}
	defer func() { err = errors.Join(err, house.remove()) }()
	// The first tenants pay for what there is once, the bridge among it.
	for range 4 {
		if err := house.let(ctx); err != nil {
			return growth, err
		}
	}
	before, err := footprint.Settled(0, house.tenants)
	if err != nil {
		return growth, err
	}
	for range count {
		if err := house.let(ctx); err != nil {
			return growth, err
		}
	}
	after, err := footprint.Settled(0, house.tenants)
	return footprint.GrowthOf(before, after, count), err
}
