// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
)

const (
	// maxBoot is the promise of SPECIFICATION.md for an empty root: from exec
	// to an accepted connection. It is for a machine that needs 10 ms for a
	// program of this size to print its version; a slower one has bootRatio times
	// what it needs for that. Measured: 43 ms, 4 to 5 times.
	maxBoot   = 100 * time.Millisecond
	bootRatio = 8
	// maxIdleRSS is the promise for an idle daemon, in KiB, maxIdleHeap that part of
	// it which is the daemon's own. Measured: 44,500 KiB and 9,000 KiB.
	maxIdleRSS  = 45 << 10
	maxIdleHeap = 12 << 10
)

// slow tells that the machine is emulated, where promises of time don't hold.
func slow() bool { return os.Getenv("SARDINE_SLOW") != "" }

func TestBootTime(t *testing.T) {
	if slow() {
		t.Skip("the processor is emulated")
	}
	// Another process can only make it slower: one start in time is proof.
	const tries = 20
	boot, version := time.Hour, time.Hour
	for range tries {
		version = min(version, versionTime(t))
		boot = min(boot, bootTime(t))
		if boot < max(maxBoot, bootRatio*version) {
			t.Logf("from exec to serving: %v; for a version: %v", boot, version)
			return
		}
	}
	t.Errorf("the daemon took at best %v of %d times to serve, at most %v is promised, or %d times the %v of a version",
		boot, tries, maxBoot, bootRatio, version)
}

// bootTime starts a daemon on an empty root, and stops it.
func bootTime(t *testing.T) time.Duration {
	t.Helper()
	d := newDaemon(t)
	d.mountBPF()
	d.writeConfig()
	began := time.Now()
	d.Start()
	defer d.Stop()
	return time.Since(began)
}

// versionTime has the same program start and do next to nothing.
func versionTime(t *testing.T) time.Duration {
	t.Helper()
	cmd := exec.Command(Program(t, "sardined"), "--version")
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestIdleMemory: how much of the program's file is resident is the kernel's choice, too: from Linux 6.18 on a
// page that is touched brings along its folio, and the file's folios are as large as its writer's writes. Where that is
// more than promised, the daemon must at least have given back what only its start needed.
func TestIdleMemory(t *testing.T) {
	d := StartDaemon(t)
	var now, peak, heap int
	d.MustCtr("version")
	// It accepts connections a moment before it has given back anything.
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now, peak, heap = memoryKiB(t, d.PID(), "VmRSS"), memoryKiB(t, d.PID(), "VmHWM"), memoryKiB(t, d.PID(), "RssAnon")
		if now <= max(maxIdleRSS, peak*9/10) && heap <= maxIdleHeap {
			t.Logf("idle: %d KiB resident, %d of it not of a file; %d at the most", now, heap, peak)
			return
		}
	}
	t.Errorf("the idle daemon has %d KiB resident, after %d, of which %d are its own; at most %d and %d are promised",
		now, peak, heap, max(maxIdleRSS, peak*9/10), maxIdleHeap)
}

// memoryKiB returns a field of proc_pid_status(5).
func memoryKiB(t *testing.T, pid int, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no %s in %s", field, status)
	}
	kib, _ := strconv.Atoi(string(found[1]))
	return kib
}

func TestSockets(t *testing.T) {
	d := StartDaemon(t)
	for _, path := range []string{d.Address, d.Address + ".ttrpc"} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := os.ModeSocket | 0o660; info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestNotifyReady(t *testing.T) {
	dir := t.TempDir()
	address := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d := StartDaemon(t, WithEnv("NOTIFY_SOCKET="+address.Name))
	awaitNotification(t, conn, "READY=1")
	d.Stop()
	awaitNotification(t, conn, "STOPPING=1")
}

// awaitNotification reads what a daemon tells systemd until one is the wanted.
func awaitNotification(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(testnode.Patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("no %s: %v", want, err)
		}
		if strings.Contains(string(buf[:n]), want) {
			return
		}
	}
}

func TestMetricsEndpoint(t *testing.T) {
	place := NewPlace(t)
	d := StartDaemon(t, In(place), WithConfig(fmt.Sprintf("[plugins.\"io.containerd.server.v1.metrics\"]\naddress = %q\n"+
		"[plugins.\"io.containerd.metrics.v1.grpc-prometheus\"]\ngrpc_histogram = true", metricsAddress)))
	d.MustCtr("version")
	body := get(t, place.HTTP(), "http://"+metricsAddress+"/v1/metrics")
	for _, want := range []string{
		`containerd_build_info_total{`,
		`version="v2.`,
		`grpc_server_handled_total{`,
		`grpc_server_handling_seconds_bucket{`,
		`process_resident_memory_bytes`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// unusedAddress returns a loopback address that nothing listens on just now.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", url, resp.Status, body)
	}
	return string(body)
}

func TestDebugSocket(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "debug.sock")
	StartDaemon(t, WithConfig(fmt.Sprintf("[plugins.\"io.containerd.server.v1.debug\"]\naddress = %q", socket)))
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	stacks := get(t, client, "http://d/debug/pprof/goroutine?debug=1")
	if !strings.Contains(stacks, "goroutine profile:") {
		t.Errorf("no goroutine profile: %.200s", stacks)
	}
	if vars := get(t, client, "http://d/debug/vars"); !strings.Contains(vars, "memstats") {
		t.Errorf("no memstats: %.200s", vars)
	}
}

func TestRestart(t *testing.T) {
	d := StartDaemon(t)
	d.MustCtr("namespaces", "create", "kept")
	d.Restart()
	if out := d.MustCtr("namespaces", "ls", "-q"); !strings.Contains(out, "kept") {
		t.Errorf("the namespace is gone after a restart: %q", out)
	}
	d.Kill9()
	d.Start()
	if out := d.MustCtr("namespaces", "ls", "-q"); !strings.Contains(out, "kept") {
		t.Errorf("the namespace is gone after kill -9: %q", out)
	}
	d.MustCtr("namespaces", "rm", "kept")
}

// TestNoTCPSocket: nothing listens on the network unless it is asked to.
func TestNoTCPSocket(t *testing.T) {
	d := StartDaemon(t)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	tcp := tcpInodes(t)
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && tcp[target] {
			t.Errorf("the daemon has a TCP socket: %s", target)
		}
	}
}

// tcpInodes returns the TCP sockets of this network namespace, as the links of
// /proc/PID/fd name them.
func tcpInodes(t *testing.T) map[string]bool {
	t.Helper()
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); len(fields) > 9 {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
	}
	return inodes
}
