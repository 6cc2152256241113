// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
		Before:  footprint.Sample{Available: 100000, DaemonRSS: 1000, HelperPSS: 0, Mounts: 20},
		While:   footprint.Sample{Available: 97000, DaemonRSS: 1500, HelperPSS: 205, Mounts: 30, Helpers: 10},
	}
	h.divide()
	if h.NodeKB != 300 || h.DaemonKB != 50 || h.RuntimeKB != 70.5 || h.Mounts != 1 || h.Helpers != 1 {
		t.Errorf("%+v", h)
	}
	none := &HoldResult{}
	none.divide()
	if none.NodeKB != 0 {
		t.Errorf("without containers: %+v", none)
	}
}
