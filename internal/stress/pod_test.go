// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

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
		o.Duration = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if r := mustRun(t, ctx, o); !r.Interrupted || time.Since(began) > 30*time.Second {
			t.Errorf("interrupted %t after %s", r.Interrupted, time.Since(began))
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
