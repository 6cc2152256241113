// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
)

func example() *Result {
	r := &Result{
		Address: "/s", DaemonVersion: "2.4.2", Runtime: DefaultRuntime, Snapshotter: "overlayfs",
		Concurrency: 2, ClientCPU: 1.5, DaemonCPU: 2.25,
	}
	var times recorder
	times.add(Start, 4*time.Millisecond)
	times.add(Total, 10*time.Millisecond)
	times.add(Total, 20*time.Millisecond)
	r.setTimes(&times, time.Second)
	for i := range 4 {
		id := fmt.Sprint("box-", i)
		r.addError(id, errors.New("start "+id+": broken"))
	}
	return r
}

func TestJSONForm(t *testing.T) {
	var b bytes.Buffer
	if err := example().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{
  "address": "/s",
  "daemonVersion": "2.4.2",
  "runtime": "io.containerd.sardine.v1",
  "snapshotter": "overlayfs",
  "concurrency": 2,
  "seconds": 1,
  "containers": 2,
  "containersPerSecond": 2,
  "clientCPUMs": 1.5,
  "daemonCPUMs": 2.25,
  "errors": 4,
  "errorKinds": [
    {
      "text": "start ID: broken",
      "count": 4
    }
  ],
  "phases": [
    {
      "name": "start",
      "count": 1,
      "perSecond": 1,
      "meanMs": 4,
      "minMs": 4,
      "p50Ms": 4,
      "p90Ms": 4,
      "p99Ms": 4,
      "maxMs": 4
    },
    {
      "name": "total",
      "count": 2,
      "perSecond": 2,
      "meanMs": 15,
      "minMs": 10,
      "p50Ms": 10,
      "p90Ms": 20,
      "p99Ms": 20,
      "maxMs": 20
    }
  ]
}
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
	var back Result
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Phases[1].P90 != 20 {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestErrorKindsAreBounded(t *testing.T) {
	r := &Result{}
	for i := range 3 * maxErrorKinds {
		r.addError("id", fmt.Errorf("kind %d", i))
	}
	if r.Errors != 3*maxErrorKinds || len(r.ErrorKinds) != maxErrorKinds || r.ErrorKinds[0].Text != "kind 0" {
		t.Errorf("%d errors, kinds %v", r.Errors, r.ErrorKinds)
	}
}

func TestErrorKindsHaveNoIDs(t *testing.T) {
	r := &Result{}
	r.addError("stress-1", fmt.Errorf("pod stress-1: exec %s in container %s", strings.Repeat("K7", 13), strings.Repeat("0f", 32)))
	r.addError("stress-2", fmt.Errorf("pod stress-2: exec %s in container %s", strings.Repeat("A2", 13), strings.Repeat("a1", 32)))
	if len(r.ErrorKinds) != 1 || r.ErrorKinds[0].Count != 2 || r.ErrorKinds[0].Text != "pod ID: exec ID in container ID" {
		t.Errorf("%+v", r.ErrorKinds)
	}
}

func TestTableOfStopAndProbe(t *testing.T) {
	r := example()
	r.Concurrency, r.Network, r.Seconds, r.Containers = 4, NetworkHost, 0, 0
	r.Stop = &StopResult{Pods: 100, Seconds: 0.25, Rate: 400}
	r.Probe = &ProbeResult{Pods: 1, Command: "a b", Seconds: 2, Executed: 500, Rate: 250, Daemon: Spent{0.5, 12.5}, Runtime: Spent{2, 50}}
	var b strings.Builder
	r.WriteTable(&b)
	r.Probe.Pods, r.Probe.Every = 200, 1
	r.WriteTable(&b)
	for _, want := range []string{
		"\n100 pods stopped by 4 workers in 0.250 s: 400.0 per second\n",
		"\n\"a b\" in 1 pod by 4 clients: 500 times in 2.0 s, 250.0 per second\n",
		"0.500 s per 1,000, 12.50 % of a core\n", "2.000 s per 1,000, 50.00 % of a core\n",
		"\n\"a b\" in 200 pods every 1 s in each: 500 times",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "per second\nCPU per pod") || strings.Contains(b.String(), "0 pods in") {
		t.Errorf("table has figures of lives:\n%s", b.String())
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	example().WriteTable(&b)
	for _, want := range []string{
		"2 workers, 2 containers in 1.0 s: 2.0 per second",
		"daemon 2.25 ms, this client 1.50 ms",
		"phase                 count  per second    min ms    p50 ms    p90 ms    p99 ms    max ms\n",
		"total                     2         2.0     10.00     10.00     20.00     20.00     20.00\n",
		"4 errors:\n  4 times: start ID: broken\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestHoldPerContainer(t *testing.T) {
	h := &HoldResult{
		Running: 10,
		Before:  footprint.Sample{Memory: footprint.Memory{Available: 100000, Shmem: 7}, DaemonRSS: 1000, Others: 100, Mounts: 20},
		While:   footprint.Sample{Memory: footprint.Memory{Available: 96900, Shmem: 47}, DaemonRSS: 1500, Others: 200, HelperPSS: 205, Mounts: 30, Helpers: 10},
	}
	h.divide()
	if h.NodeKB != 300 || h.DaemonKB != 50 || h.RuntimeKB != 70.5 || h.Mounts != 1 || h.Helpers != 1 {
		t.Errorf("%+v", h)
	}
	if tmpfs := h.KindsKB[len(h.KindsKB)-1]; tmpfs.Name != "tmpfs" || tmpfs.KB != 4 {
		t.Errorf("kinds of memory: %+v", h.KindsKB)
	}
	none := &HoldResult{}
	none.divide()
	if none.NodeKB != 0 {
		t.Errorf("without containers: %+v", none)
	}
}

func TestReadyComparesFirstAndLast(t *testing.T) {
	var took []time.Duration
	for i := range 200 {
		took = append(took, time.Duration(i+1)*time.Millisecond)
	}
	for _, c := range []struct {
		took []time.Duration
		want *ReadyResult
	}{
		{nil, nil},
		{took[:1], nil},
		{took[:2], &ReadyResult{Window: 1, Comparison: Comparison{First: 1, Last: 2, Ratio: 2}}},
		{[]time.Duration{3e6, 1e6, 2e6, 4e6, 9e6, 6e6, 5e6}, &ReadyResult{Window: 3, Comparison: Comparison{First: 2, Last: 6, Ratio: 3}}},
		{took, &ReadyResult{Window: 50, Comparison: Comparison{First: 25, Last: 175, Ratio: 7}}},
	} {
		h := &HoldResult{}
		h.setReady(&recorder{Start: c.took, Wait: took[:1], Total: c.took})
		if c.want != nil {
			c.want.Steps = []Step{{Start.String(), c.want.Comparison}}
		}
		if !reflect.DeepEqual(h.Ready, c.want) {
			t.Errorf("of %d: %+v, want %+v", len(c.took), h.Ready, c.want)
		}
	}
}
