// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/sardine-run/sardine/internal/tinyimage"
)

// measureAlone measures what starts a container, without a daemon: the launch
// package by its own benchmark, and runc.
func (b *bench) measureAlone(ctx context.Context) error {
	say("  go test -bench ./internal/launch")
	took, err := b.launchBenchmark(ctx)
	if err != nil {
		return err
	}
	b.launches = append(b.launches, took)
	say("  runc run")
	took, err = b.runcRun(ctx)
	if err != nil {
		return err
	}
	b.runc = append(b.runc, took)
	return nil
}

func (b *bench) launchBenchmark(ctx context.Context) (float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkLaunch$",
		"-benchtime=50x", "-count="+strconv.Itoa(b.effort.launches/50), "./internal/launch")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("benchmark of internal/launch: %w:\n%s", err, out)
	}
	return parseBenchmark(string(out), "BenchmarkLaunch")
}

// parseBenchmark returns the median over all repetitions, in milliseconds: of
// the metric p50-ms if the benchmark reports one, otherwise of its mean.
func parseBenchmark(output, name string) (float64, error) {
	var values []float64
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], name) {
			continue
		}
		value, err := benchmarkValue(fields)
		if err != nil {
			return 0, fmt.Errorf("result %q: %w", line, err)
		}
		values = append(values, value)
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("no result of %s in:\n%s", name, output)
	}
	return median(values), nil
}

// benchmarkValue reads a line of go test: the name, the number of iterations,
// then pairs of a value and its unit.
func benchmarkValue(fields []string) (float64, error) {
	metrics := make(map[string]float64)
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, err
		}
		metrics[fields[i+1]] = value
	}
	if p50, ok := metrics["p50-ms"]; ok {
		return p50, nil
	}
	mean, ok := metrics["ns/op"]
	if !ok {
		return 0, errors.New("neither p50-ms nor ns/op")
	}
	return mean / 1e6, nil
}

// runcRun is the median time of `runc run` of the tiny image's true.
func (b *bench) runcRun(ctx context.Context) (float64, error) {
	bundle, err := os.MkdirTemp("", "sardine-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(bundle)
	if err := writeBundle(ctx, bundle); err != nil {
		return 0, fmt.Errorf("bundle for runc: %w", err)
	}
	var times []float64
	for i := range b.runcRepeat {
		cmd := exec.CommandContext(ctx, b.bin("tools/runc"), "--root", bundle+"/state", "run", "--bundle", bundle, fmt.Sprintf("sardine-bench-%d-%d", os.Getpid(), i))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		began := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("runc run: %w: %s", err, stderr.Bytes())
		}
		times = append(times, ms(time.Since(began)))
	}
	return median(times), nil
}

func writeBundle(ctx context.Context, dir string) error {
	program, err := tinyimage.Program(runtime.GOARCH)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "rootfs")
	for _, name := range []string{"bin", "dev", "proc", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/true"), program, 0o755); err != nil {
		return err
	}
	ctx = namespaces.WithNamespace(ctx, "sardine-bench")
	spec, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: "runc"},
		oci.WithRootFSPath("rootfs"), oci.WithDefaultPathEnv, oci.WithProcessArgs("/bin/true"), oci.WithCgroup(""))
	if err != nil {
		return err
	}
	config, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644)
}
