// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

const (
	unit      = "sardined.service"
	socket    = "/run/containerd/containerd.sock"
	namespace = "guest"
	runtime   = "io.containerd.sardine.v1"
)

// daemon is sardined as systemd runs it, with a connection to it.
type daemon struct {
	t      *testing.T
	ctx    context.Context
	client *containerd.Client
}

// startDaemon starts the unit, if it does not run yet, and connects to it.
// The unit is left running for the next test.
func startDaemon(t *testing.T) *daemon {
	t.Helper()
	startUnit(t)
	testnode.CheckClean(t, testnode.Options{
		Dirs:    []string{rootfs, "/run/containerd", "/var/lib/containerd"},
		Cgroups: []string{"/guest", "/guest.slice"},
		// The parent that all containers of a namespace share stays; the slice goes
		// when systemd gets round to it.
		Ignore: func(l testnode.Leak) bool {
			return l.Name == cgroupRoot+"/guest" || l.Name == cgroupRoot+"/guest.slice"
		},
	})
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), 5*time.Minute)
	t.Cleanup(cancel)
	d := &daemon{t: t, ctx: ctx}
	d.connect()
	t.Cleanup(func() { d.client.Close() })
	return d
}

// connect replaces the connection: the old one may wait, backing off, for a
// daemon that has long been there again.
func (d *daemon) connect() {
	d.t.Helper()
	if d.client != nil {
		d.client.Close()
	}
	client, err := containerd.New(socket, containerd.WithTimeout(testnode.Patience))
	if err != nil {
		d.t.Fatalf("connect to %s: %v", socket, err)
	}
	d.client = client
}

func (d *daemon) restart() {
	d.t.Helper()
	systemctl(d.t, "restart", unit)
	d.connect()
}

// crash kills the daemon as nothing can prepare for. systemd will start it
// again after the unit's RestartSec.
func (d *daemon) crash() {
	d.t.Helper()
	if err := unix.Kill(mainPID(d.t), unix.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
}

// crashAndStayDown also keeps systemd from starting it again.
func (d *daemon) crashAndStayDown() {
	d.t.Helper()
	d.crash()
	systemctl(d.t, "stop", unit)
	if state := property(d.t, unit, "ActiveState"); state == "active" {
		d.t.Fatalf("stopped %s is %s", unit, state)
	}
}

// back waits for systemd to have started a crashed daemon.
func (d *daemon) back(crashed int) {
	d.t.Helper()
	testnode.Eventually(d.t, unit+" is active again", func() bool {
		pid := mainPID(d.t)
		return pid != crashed && pid != 0 && property(d.t, unit, "ActiveState") == "active"
	})
	d.connect()
}

// startUnit starts the unit if it is not active. These tests start it more
// often than systemd's limit against crash loops has patience for.
func startUnit(t *testing.T) {
	t.Helper()
	_ = exec.Command("systemctl", "reset-failed", unit).Run()
	systemctl(t, "start", unit)
}

func mainPID(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(property(t, unit, "MainPID"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func systemctl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
		log, _ := exec.Command("journalctl", "-u", unit, "-n", "40", "--no-pager", "-o", "cat").CombinedOutput()
		t.Fatalf("systemctl %s: %v\n%s%s", strings.Join(args, " "), err, out, log)
	}
}

// property reads what systemd says of a unit.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "-p", name, unit).Output()
	if err != nil {
		t.Fatalf("systemctl show -p %s %s: %v", name, unit, err)
	}
	return strings.TrimSpace(string(out))
}

// TestUnitBecomesActive proves sd_notify: a unit of Type=notify stays
// "activating" until the daemon says that it serves.
func TestUnitBecomesActive(t *testing.T) {
	systemctl(t, "stop", unit)
	began := time.Now()
	d := startDaemon(t)
	t.Logf("active after %s", time.Since(began).Round(time.Millisecond))
	for name, want := range map[string]string{"Type": "notify", "ActiveState": "active", "SubState": "running", "KillMode": "process"} {
		if got := property(t, unit, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// Active means serving: the first call must not need a second try.
	version, err := d.client.Version(d.ctx)
	if err != nil {
		t.Fatalf("active, but: %v", err)
	}
	t.Logf("version %s", version.Version)
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("%s has mode %o, want 660", socket, got)
	}
}

func TestUnitRestartAndStop(t *testing.T) {
	d := startDaemon(t)
	before := mainPID(t)
	d.restart()
	if after := mainPID(t); after == before || after == 0 {
		t.Errorf("main pid %d after a restart, %d before", after, before)
	}
	if _, err := d.client.Version(d.ctx); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	systemctl(t, "stop", unit)
	if result := property(t, unit, "Result"); result != "success" {
		t.Errorf("stopped with result %s", result)
	}
}
