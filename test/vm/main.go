// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	cache, mirror, run string
	timeout, each      time.Duration
	count              int
	emulate, rebuild   bool
	verbose            bool
	suite              []tests
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.cache, "cache", "", "directory of base images")
	flag.StringVar(&o.mirror, "mirror", "", "Debian mirror; default: the one in apt's sources")
	flag.StringVar(&o.run, "run", "", "run only the tests that match this `regexp` (without spaces)")
	flag.IntVar(&o.count, "count", 1, "run each test so often")
	flag.DurationVar(&o.timeout, "timeout", 25*time.Minute, "limit for everything")
	flag.DurationVar(&o.each, "each", 10*time.Minute, "limit for each package's tests")
	flag.BoolVar(&o.emulate, "emulate", false, "do not try KVM")
	flag.BoolVar(&o.rebuild, "rebuild", false, "make the base image anew, for Debian's latest packages")
	flag.BoolVar(&o.verbose, "v", false, "show all that the tests print")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: test/vm/run [flags] [package directory...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.suite = choose(flag.Args())
	return o
}

func main() {
	o := parseOptions()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	passed, err := test(ctx, o)
	fmt.Printf("vm: %s in all\n", since(began))
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// test prepares both disks and runs the guest.
func test(ctx context.Context, o options) (passed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("%s are over", o.timeout))
	defer cancel()
	if o.cache == "" {
		return false, errors.New("no -cache directory; start this with test/vm/run")
	}
	if err := installTools(ctx); err != nil {
		return false, err
	}
	base, err := openBase(ctx, o.cache, o.mirror, o.rebuild)
	if err != nil {
		return false, err
	}
	tmp, err := os.MkdirTemp("", "sardine-vm-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	disk := filepath.Join(tmp, "payload.ext4")
	if err := makePayload(ctx, filepath.Join(tmp, "payload"), disk, o.suite); err != nil {
		return false, fmt.Errorf("make payload: %w", err)
	}
	return boot(ctx, &machine{base: base, payload: disk, tmp: tmp}, o)
}

func makePayload(ctx context.Context, dir, disk string, suite []tests) error {
	began := time.Now()
	p, err := newPayload(ctx, dir, suite)
	if err != nil {
		return err
	}
	if err := p.disk(ctx, disk); err != nil {
		return err
	}
	fmt.Printf("vm: payload made in %s\n", since(began))
	return nil
}

// boot runs the guest on the best accelerator that can.
func boot(ctx context.Context, m *machine, o options) (passed bool, err error) {
	accels := accelerators()
	if o.emulate {
		accels = []string{emulation}
	}
	for _, m.accel = range accels {
		m.cmdline = fmt.Sprintf("sardine.timeout=%s sardine.count=%d sardine.run=%s", o.each, o.count, o.run)
		if m.accel != kvm {
			m.cmdline += " sardine.slow=1"
		}
		m.report, m.console = newReport(os.Stdout, o.verbose), tail{}
		err = m.run(ctx)
		if m.accel != kvm || isClosed(m.report.booted) || ctx.Err() != nil {
			break
		}
		fmt.Printf("vm: /dev/kvm does not run the guest, going on without: %v\n", err)
	}
	if err != nil {
		m.report.printLines()
		fmt.Printf("vm: the end of the guest's console:\n%s\n", m.console.String())
	}
	return err == nil && !m.report.failed, err
}
