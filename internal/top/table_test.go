// SPDX-License-Identifier: Apache-2.0

package top

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWriteTable(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Report)
		o      Options
		want   string
	}{
		"by cpu": {o: Options{Sort: ByCPU}, want: `
sardine 1.2.3 at /run/d.sock, 12:00:00
node    cpu 12.2% of 200%  memory 1.0 GiB of 4.0 GiB  pods 3, 2 ready  containers 4, 3 running
daemon  cpu 0.5%  memory 50.0 MiB  threads 12  descriptors 345  up 2h05m  pid 77

NAMESPACE/NAME  RUNNING  STATE     CPU %     MEMORY  RESTARTS    AGE  IP
web/shop            2/2  ready     150.0  300.0 MiB         2  1h00m  10.0.0.2,fd00::2
db/store            1/1  ready       3.2    2.0 GiB         0  3d00h  10.0.0.3
batch/job           0/1  notReady      -          -         5    42s
`},
		"containers, by name": {o: Options{Sort: ByName, Containers: true}, want: `
sardine 1.2.3 at /run/d.sock, 12:00:00
node    cpu 12.2% of 200%  memory 1.0 GiB of 4.0 GiB  pods 3, 2 ready  containers 4, 3 running
daemon  cpu 0.5%  memory 50.0 MiB  threads 12  descriptors 345  up 2h05m  pid 77

NAMESPACE/NAME  RUNNING  STATE     CPU %     MEMORY  RESTARTS     AGE  IP
batch/job           0/1  notReady      -          -         5     42s
  job                    exited        -          -         5     41s
db/store            1/1  ready       3.2    2.0 GiB         0   3d00h  10.0.0.3
  db                     running     3.2    2.0 GiB         0   3d00h
web/shop            2/2  ready     150.0  300.0 MiB         2   1h00m  10.0.0.2,fd00::2
  app                    running   149.0  299.0 MiB         2  59m50s
  log                    running     1.0    1.0 MiB         0  59m50s
`},
		"with all that may be known": {o: Options{Sort: ByCPU}, change: func(r *Report) {
			r.Pods = nil
			r.Daemon.Goroutines, r.Daemon.StoredDescriptors = to(44), to(12)
			r.Daemon.Holder = &Process{PID: 78, ResidentBytes: 3 << 20, Descriptors: to(16)}
		}, want: `
sardine 1.2.3 at /run/d.sock, 12:00:00
node    cpu 12.2% of 200%  memory 1.0 GiB of 4.0 GiB  pods 3, 2 ready  containers 4, 3 running
daemon  cpu 0.5%  memory 50.0 MiB  threads 12  descriptors 345  up 2h05m  pid 77  goroutines 44  stored 12  holder: memory 3.0 MiB  descriptors 16

NAMESPACE/NAME  RUNNING  STATE  CPU %  MEMORY  RESTARTS  AGE  IP
`},
		"with little": {o: Options{Sort: ByCPU}, change: func(r *Report) {
			r.Pods, r.Daemon, r.Node.CPUPercent = nil, nil, nil
		}, want: `
sardine 1.2.3 at /run/d.sock, 12:00:00
node    cpu -% of 200%  memory 1.0 GiB of 4.0 GiB  pods 3, 2 ready  containers 4, 3 running
daemon  its process cannot be seen from here

NAMESPACE/NAME  RUNNING  STATE  CPU %  MEMORY  RESTARTS  AGE  IP
`},
	} {
		t.Run(name, func(t *testing.T) {
			r := someReport()
			if test.change != nil {
				test.change(r)
			}
			var got strings.Builder
			if err := r.WriteTable(&got, test.o); err != nil {
				t.Fatal(err)
			}
			if "\n"+got.String() != test.want {
				t.Errorf("got\n%s\nwant%s", got.String(), test.want)
			}
		})
	}
}

// A narrow window loses columns before the names become short.
func TestTableFits(t *testing.T) {
	for width, want := range map[int]string{
		80: "NAMESPACE/NAME  RUNNING  STATE     CPU %     MEMORY  RESTARTS    AGE|web/shop            2/2  ready     150.0  300.0 MiB         2  1h00m",
		60: "NAMESPACE/NAME  RUNNING  CPU %     MEMORY  RESTARTS|web/shop            2/2  150.0  300.0 MiB         2",
		40: "NAMESPACE/NAME  CPU %     MEMORY|web/shop        150.0  300.0 MiB",
		20: "NAMESPACE/NAME|web/shop",
		5:  "NAME…|web/…",
		1:  "…|…",
	} {
		lines := table(rows(sorted(someReport().Pods, ByCPU, false), false), width)
		if got := strings.Join(lines[:2], "|"); got != want {
			t.Errorf("width %d:\ngot  %s\nwant %s", width, got, want)
		}
	}
}

// The names of fields are a promise to scripts.
func TestJSON(t *testing.T) {
	r := someReport()
	r.Pods = r.Pods[2:]
	r.Time, r.Pods[0].CreatedAt = noon.UTC(), r.Pods[0].CreatedAt.UTC()
	var got strings.Builder
	if err := r.WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.String()), &fields); err != nil {
		t.Fatal(err)
	}
	pod := fields["pods"].([]any)[0].(map[string]any)
	for _, check := range []struct {
		what string
		in   map[string]any
		want string
	}{
		{"report", fields, "address daemon intervalSeconds node pods runtimeName runtimeVersion time"},
		{"node", fields["node"].(map[string]any), "containers containersRunning cpuPercent cpus memoryAvailableBytes memoryTotalBytes pods podsReady"},
		{"daemon", fields["daemon"].(map[string]any), "ageSeconds cpuPercent descriptors goroutines holder pid residentBytes storedDescriptors threads"},
		{"pod", pod, "ageSeconds containers containersRunning cpuPercent createdAt id ips memoryWorkingSetBytes name namespace restarts state uid"},
		{"container", pod["containers"].([]any)[0].(map[string]any), "ageSeconds cpuPercent createdAt id memoryWorkingSetBytes name restarts state"},
	} {
		if names := strings.Join(sortedKeys(check.in), " "); names != check.want {
			t.Errorf("fields of a %s:\ngot  %s\nwant %s", check.what, names, check.want)
		}
	}
	if pod["cpuPercent"] != nil || pod["restarts"] != 5.0 || fields["daemon"].(map[string]any)["residentBytes"] != float64(50<<20) {
		t.Errorf("values: %s", got.String())
	}
}
