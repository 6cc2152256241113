// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/throwaway"
)

// eachCRI is eachDaemon with daemons that serve CRI, for pods in the node's network.
func eachCRI(t *testing.T, test func(t *testing.T, o Options)) {
	t.Helper()
	start := func(ctx context.Context, binary, extraPath string) (*throwaway.Daemon, error) {
		return throwaway.StartCRI(ctx, binary, extraPath, throwaway.CRI{})
	}
	eachStarted(t, start, func(t *testing.T, o Options) {
		o.CRI, o.Network = true, NetworkHost
		test(t, o)
	})
}

func TestPodsCount(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Count, o.Execs = 3, 2
		r := mustRun(t, t.Context(), o)
		n := counts(r)
		if r.Containers != 3 || n["exec"] != 6 || n["create task"] != 0 {
			t.Errorf("%d pods, phases %v", r.Containers, n)
		}
		for _, p := range []Phase{RunPodSandbox, CreateContainer, Start, CreateStart, PodReady, StopContainer, StopPodSandbox, RemovePodSandbox, Total} {
			if n[p.String()] != 3 {
				t.Errorf("%s is there %d times, want 3", p, n[p.String()])
			}
		}
	})
}

func TestPodsPhasesAddUp(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Count, o.Concurrency = 1, 1
		ms := map[string]float64{}
		for _, p := range mustRun(t, t.Context(), o).Phases {
			ms[p.Name] = p.P50
		}
		ready := ms["run pod sandbox"] + ms["create and start"]
		if difference := ms["pod ready"] - ready; difference < -0.01 || difference > 0.01 {
			t.Errorf("pod ready after %g ms, its steps took %g", ms["pod ready"], ready)
		}
		if ms["total"] < ms["pod ready"]+ms["stop container"]+ms["stop pod sandbox"]+ms["remove pod sandbox"]-0.01 {
			t.Errorf("total is less than its parts: %v", ms)
		}
	})
}

func TestPodsHold(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Hold, o.Idle = 4, time.Second
		listed := 0
		r, err := RunWhile(t.Context(), o, func(ctx context.Context) error {
			pods, containers := list(t, o.Address)
			listed = min(len(pods), len(containers))
			return nil
		})
		if err != nil || r.Errors > 0 {
			t.Fatal(err, r.ErrorKinds)
		}
		if n := counts(r); r.Hold.Running != 4 || listed != 4 || n["pod ready"] != 4 || n["stop pod sandbox"] != 4 {
			t.Errorf("%d running, %d seen while they were held, phases %v", r.Hold.Running, listed, n)
		}
		if r.Hold.Ready == nil || r.Hold.Ready.Window != 2 || r.Hold.Idle == nil || r.Hold.Idle.Seconds < 1 {
			t.Errorf("ready %+v, idle %+v", r.Hold.Ready, r.Hold.Idle)
		}
		helpers := 0.0
		if r.Runtime == "containerd" {
			helpers = 2 // the shim and the pause process of each pod
		}
		if r.Hold.Helpers != helpers {
			t.Errorf("%g helper processes per pod of %s, want %g", r.Hold.Helpers, r.Runtime, helpers)
		}
		if pods, containers := list(t, o.Address); len(pods)+len(containers) > 0 {
			t.Errorf("left over: %v %v", pods, containers)
		}
	})
}

func TestPodsStop(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Stop = 3
		r := mustRun(t, t.Context(), o)
		n := counts(r)
		if r.Stop == nil || r.Stop.Pods != 3 || r.Stop.Seconds <= 0 || r.Stop.Rate <= 0 {
			t.Fatalf("stopped %+v", r.Stop)
		}
		if n["pod ready"] != 3 || n["stop container"] != 3 || n["stop pod sandbox"] != 3 {
			t.Errorf("phases %v", n)
		}
		// SIGTERM ends the program at once: nothing may wait for the grace.
		if r.Stop.Seconds >= grace {
			t.Errorf("stopping took %g s", r.Stop.Seconds)
		}
		if pods, containers := list(t, o.Address); len(pods)+len(containers) > 0 {
			t.Errorf("left over: %v %v", pods, containers)
		}
	})
}

func TestPodsProbe(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Probe, o.Execs, o.Concurrency = 2, 50, 4
		r := mustRun(t, t.Context(), o)
		p := r.Probe
		if n := counts(r); p == nil || p.Executed != 100 || n["exec"] != 100 || p.Pods != 2 || p.Command != "/bin/true" || p.Rate <= 0 {
			t.Fatalf("probed %+v, phases %v", p, n)
		}
		// The commands are in the one and not in the other; both have ticks of 10 ms, of which ten commands may take none.
		if p.Runtime.Percent <= 0 || p.Runtime.Per1000 <= 0 || p.Runtime.Per1000 < p.Daemon.Per1000-0.3 {
			t.Errorf("CPU of the daemon %+v, of the runtime %+v", p.Daemon, p.Runtime)
		}
		if r.Runtime == "sardine" { // which looks by itself at a file that every pod has
			o.Command = "sardine-probe file /etc/hosts --validity 1h"
			if p := mustRun(t, t.Context(), o).Probe; p.Executed != 100 || p.Command != o.Command {
				t.Errorf("probed %+v", p)
			}
		}
		if pods, containers := list(t, o.Address); len(pods)+len(containers) > 0 {
			t.Errorf("left over: %v %v", pods, containers)
		}
	})
}

func TestPodsProbeEvery(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Probe, o.Every, o.Concurrency, o.Duration = 2, 300*time.Millisecond, 1, 2*time.Second
		r := mustRun(t, t.Context(), o)
		// At 0, 300 and so on to 1800 ms, and at 150 to 1950; later and so less often where the machine is busy. What stands still for two
		// seconds may execute the first one only.
		if p := r.Probe; p == nil || p.Executed > 14 || p.Executed < 1 || p.Every != 0.3 || p.Seconds < 1.9 {
			t.Errorf("probed %+v", p)
		}
		o.Execs, o.Duration = 2, 0
		if p := mustRun(t, t.Context(), o).Probe; p == nil || p.Executed != 4 {
			t.Errorf("probed %+v", p)
		}
	})
}

func TestPodsProbeTellsWhatFailed(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Probe, o.Execs, o.Concurrency, o.Command = 1, 100, 1, "/bin/tiny dance"
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Probe.Executed != 0 || r.Errors != o.MaxErrors || len(r.ErrorKinds) != 1 || !strings.Contains(r.ErrorKinds[0].Text, "exit status 2, expected 0: usage: tiny") {
			t.Errorf("%+v, %d errors: %v", r.Probe, r.Errors, r.ErrorKinds)
		}
	})
}

// list returns the ids of all pods and containers.
func list(t *testing.T, socket string) (pods, containers []string) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := cri.NewRuntimeServiceClient(conn)
	listedPods, err := client.ListPodSandbox(t.Context(), &cri.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range listedPods.Items {
		pods = append(pods, p.Id)
	}
	listed, err := client.ListContainers(t.Context(), &cri.ListContainersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range listed.Containers {
		containers = append(containers, c.Id)
	}
	return pods, containers
}

func TestPodsCountErrors(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Count, o.Handler, o.Concurrency = 10, "nonesuch", 1
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Containers != 0 || r.Errors != o.MaxErrors || len(r.ErrorKinds) != 1 || !strings.Contains(r.ErrorKinds[0].Text, "nonesuch") {
			t.Errorf("%d pods, %d errors: %v", r.Containers, r.Errors, r.ErrorKinds)
		}
	})
}

func TestPodsInterrupted(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Duration = 10 * time.Minute
		interrupt(t, o)
	})
}

func TestPodsInterruptedLeaveNothing(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		for _, workload := range []func(*Options){
			func(o *Options) { o.Stop = 1000 },
			func(o *Options) { o.Probe, o.Duration = 1, time.Hour },
			func(o *Options) { o.Probe, o.Every, o.Concurrency, o.Duration = 1, time.Minute, 1, time.Hour },
		} {
			o := o
			workload(&o)
			interrupt(t, o)
			if pods, containers := list(t, o.Address); len(pods)+len(containers) > 0 {
				t.Errorf("left over: %v %v", pods, containers)
			}
		}
	})
}

func TestPodsNeedAnImage(t *testing.T) {
	eachCRI(t, func(t *testing.T, o Options) {
		o.Count, o.Image = 1, "localhost/none:1"
		if _, err := Run(t.Context(), o); !errors.Is(err, errdefs.ErrNotFound) || !strings.Contains(err.Error(), "localhost/none:1") {
			t.Errorf("got %v", err)
		}
	})
}
