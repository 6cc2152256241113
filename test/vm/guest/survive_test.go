// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// counting prints a number a few times a second and leaves on request with a
// status of its own.
const counting = `trap 'exit 42' TERM; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.3; done`

func TestContainerSurvivesKill9(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		b := startDaemon(t).run(drv, counting)
		b.says("tick 1")
		crashed := mainPID(t)
		b.crash()
		b.back(crashed)
		b.reload()
		b.stillCounts()
		if status, out := b.exec("echo from within"); status != 0 || !strings.Contains(out, "from within") {
			t.Errorf("exec after a crash: status %d, printed %q", status, out)
		}
		b.kill(unix.SIGTERM)
		b.wantStatus(42)
	})
}

// systemd's own reload and re-execution are the times at which it writes units'
// properties anew. The container's must be among them.
func TestContainerSurvivesSystemdReload(t *testing.T) {
	b := startDaemon(t).run(systemd, counting, limits, devShm)
	b.says("tick 1")
	for _, how := range []string{"daemon-reload", "daemon-reexec"} {
		systemctl(t, how)
		b.wantLimits()
		if status, out := b.exec(openFuse); status == 0 {
			t.Errorf("after a %s the container may open /dev/fuse: %s", how, out)
		}
	}
	b.stillCounts()
}

// Statuses of containers that end while no daemon is there to wait for them. On
// this kernel, without PIDFD_GET_INFO (6.15), only the eBPF recorder knows them.
func TestExitWhileDown(t *testing.T) {
	for _, c := range []struct {
		name, script string
		signal       unix.Signal // sent to the container's first process
		want         uint32
	}{
		{"status", `trap 'exit 42' TERM; echo ready; while :; do sleep 0.1; done`, unix.SIGTERM, 42},
		{"success", `trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done`, unix.SIGTERM, 0},
		{"killed", `echo ready; sleep 1000`, unix.SIGKILL, 128 + 9},
		{"execs first", `trap 'exec /bin/sh -c "exit 7"' TERM; echo ready; while :; do sleep 0.1; done`, unix.SIGTERM, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := startDaemon(t).run(cgroupfs, c.script)
			b.says("ready")
			b.crashAndStayDown()
			if err := unix.Kill(b.pid, c.signal); err != nil {
				t.Fatal(err)
			}
			testnode.Eventually(t, "the container's process ends", func() bool { return !testnode.Alive(b.pid) })
			startUnit(t)
			b.connect()
			b.reload()
			b.wantStatus(c.want)
			b.wantState(containerd.Stopped)
		})
	}
}

// stillCounts proves that the container was never interrupted: same process,
// same count going on.
func (b *box) stillCounts() {
	b.t.Helper()
	b.wantState(containerd.Running)
	if !testnode.Alive(b.pid) || int(b.task.Pid()) != b.pid {
		b.t.Errorf("process %d, was %d", b.task.Pid(), b.pid)
	}
	count := strings.Count(b.out.String(), "tick")
	b.says(fmt.Sprintf("tick %d\n", count+3))
}

// What stopping the machine does: systemd ends scopes at shutdown, so
// containers under it end with it, and without waiting for a timeout.
func TestScopeStops(t *testing.T) {
	b := startDaemon(t).run(systemd, counting)
	b.says("tick 1")
	if out, err := exec.Command("systemctl", "stop", b.scope(b.id)).CombinedOutput(); err != nil {
		t.Fatalf("stop the scope: %v: %s", err, out)
	}
	b.wantStatus(42)
}
