// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sardine-run/sardine/internal/testnode"
)

func optionsFor(f *fakeCRI) Options {
	return Options{Address: "unix://" + f.socket, Interval: minInterval, Sort: ByCPU}
}

func near(p *float64, want float64) bool { return p != nil && math.Abs(*p-want) < want/20 }

func TestOnce(t *testing.T) {
	f := startCRI(t, 30)
	for _, noStats := range []bool{false, true} {
		f.set(func(f *fakeCRI) { f.noStats = noStats })
		r, err := Once(t.Context(), optionsFor(f))
		if err != nil {
			t.Fatal(err)
		}
		if r.RuntimeName != "fake" || r.Address != f.socket || r.IntervalSeconds < 0.1 || len(r.Pods) != 30 || r.Node.ContainersRunning != 30 || r.Node.CPUPercent == nil {
			t.Errorf("%+v", r)
		}
		if p := r.Pods[9]; !near(p.CPUPercent, 10) || *p.MemoryWorkingSetBytes != 10<<20 || p.IPs[0] != "10.0.0.10" || !near(p.Containers[0].CPUPercent, 10) {
			t.Errorf("without statistics of pods %v: %+v, cpu %v", noStats, p, *p.CPUPercent)
		}
		// The server is this process.
		if d := r.Daemon; d == nil || d.PID != os.Getpid() || d.ResidentBytes < 1<<20 || d.Threads < 1 || d.Descriptors == nil || d.CPUPercent == nil {
			t.Errorf("daemon %+v", d)
		}
	}
	if f.statuses != 2*30 {
		t.Errorf("asked %d times for the status of 30 pods in two runs", f.statuses)
	}
}

func TestOnceFails(t *testing.T) {
	dir, err := os.MkdirTemp("", "top-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	other := filepath.Join(dir, "other")
	server := grpc.NewServer()
	serve(t, server, other)
	defer server.Stop()
	mute := filepath.Join(dir, "mute")
	listener, err := net.Listen("unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, test := range []struct {
		ctx          context.Context
		socket, says string
	}{
		{t.Context(), dir + "/none", "no daemon at " + dir + "/none"},
		{t.Context(), other, "does not serve CRI"},
		{ctx, mute, "does not answer"},
	} {
		_, err := Once(test.ctx, Options{Address: test.socket, Interval: minInterval, Sort: ByCPU})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want an error that says %q", test.socket, err, test.says)
		}
	}
	if _, err := Once(t.Context(), Options{}); err == nil {
		t.Error("no options are taken")
	}
}

// Root may open every socket.
func TestExplainPermission(t *testing.T) {
	c := &client{socket: "/s", err: &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", fs.ErrPermission)}}
	err := c.explain(status.Error(codes.Unavailable, "connection error"))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "run it as root") {
		t.Errorf("%v", err)
	}
}

// A daemon that is restarted is found again, and its pods are asked for their addresses once.
func TestReportAfterRestart(t *testing.T) {
	f := startCRI(t, 3)
	r, err := open(optionsFor(f))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := r.report(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.stop()
	if _, err := r.report(t.Context()); err == nil || !strings.Contains(err.Error(), "no daemon at") && !strings.Contains(err.Error(), "has ended") {
		t.Errorf("while there is none: %v", err)
	}
	f.start(t)
	deadline := time.Now().Add(testnode.Patience)
	for {
		report, err := r.report(t.Context())
		if err == nil {
			if len(report.Pods) != 3 || !near(report.Pods[2].CPUPercent, 3) {
				t.Errorf("%+v", report.Pods)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if f.statuses != 3 {
		t.Errorf("asked %d times for the status of 3 pods", f.statuses)
	}
}
