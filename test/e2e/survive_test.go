// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
)

// taskPID returns the host's process id of a task.
func taskPID(t *testing.T, d *Daemon, id string) int {
	t.Helper()
	for line := range strings.Lines(d.MustCtr("tasks", "ls")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			pid, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no task %s", id)
	return 0
}

// onTerm is a script that goes on until SIGTERM, when it does what is wanted. trapIsSet waits until it is ready for that.
func onTerm(action string) string {
	return "trap '" + action + "' TERM; echo >/tmp/ready; while :; do sleep 0.05; done"
}

// TestSurvival: containers outlive the daemon, and the next one knows how those
// ended that did not outlive it.
func TestSurvival(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*Daemon)
	}{
		{"kill -9", func(d *Daemon) { d.Kill9() }},
		{"stopped", func(d *Daemon) { d.Stop() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := StartDaemon(t)
			ref := d.ImportBusybox()
			startTask(t, d, ref, "stays", "sleep", "600")
			startTask(t, d, ref, "exits", "sh", "-c", onTerm("exit 7"))
			startTask(t, d, ref, "killed", "sleep", "600")
			startTask(t, d, ref, "early", "sh", "-c", "exit 5")
			startTask(t, d, ref, "leader", "sh", "-c", onTerm("exec payload first-thread 6"))
			trapIsSet(t, d, "exits")
			trapIsSet(t, d, "leader")
			testnode.Eventually(t, "early has stopped", func() bool { return status(d, "early") == "STOPPED" })
			stays, exits, killed, leader := taskPID(t, d, "stays"), taskPID(t, d, "exits"), taskPID(t, d, "killed"), taskPID(t, d, "leader")

			test.end(d)
			for name, pid := range map[string]int{"stays": stays, "exits": exits, "killed": killed, "leader": leader} {
				if !testnode.Alive(pid) {
					t.Errorf("%s has gone with the daemon", name)
				}
			}
			_ = syscall.Kill(exits, syscall.SIGTERM)
			_ = syscall.Kill(leader, syscall.SIGTERM)
			_ = syscall.Kill(killed, syscall.SIGKILL)
			testnode.Eventually(t, "three containers have ended", func() bool { return !testnode.Alive(exits) && !testnode.Alive(killed) && !testnode.Alive(leader) })
			d.Start()

			if got, pid := status(d, "stays"), taskPID(t, d, "stays"); got != "RUNNING" || pid != stays {
				t.Errorf("stays is %s with pid %d, want RUNNING with %d", got, pid, stays)
			}
			for id, want := range map[string]uint32{"exits": 7, "killed": 137, "early": 5, "leader": 6} {
				// What the system's pid 1 has not reaped yet is reported as any exit is, a moment later.
				testnode.Eventually(t, id+" has stopped", func() bool { return status(d, id) == "STOPPED" })
				if code := exitCode(t, d, id); code != want {
					t.Errorf("%s ended with %d, want %d", id, code, want)
				}
			}
			if out := d.MustCtr(d.ExecArgs("--exec-id", "e", "stays", "echo", "still here")...); out != "still here\n" {
				t.Errorf("exec after the restart printed %q", out)
			}
			d.MustCtr("tasks", "kill", "--signal", "SIGKILL", "stays")
			testnode.Eventually(t, "stays has stopped", func() bool { return status(d, "stays") == "STOPPED" })
			if code := exitCode(t, d, "stays"); code != 137 {
				t.Errorf("stays ended with %d, want 137", code)
			}
		})
	}
}

// TestCrashLoop: whenever the daemon dies, the next one starts and can remove
// what was begun.
func TestCrashLoop(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	for i := range 8 {
		id := "c" + strconv.Itoa(i)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = d.Ctr(d.RunArgs("--detach", ref, id, "sleep", "600")...) // fails, mostly
		}()
		time.Sleep(time.Duration(40+i*15) * time.Millisecond)
		d.Kill9()
		<-done
		d.Start()
		_, _ = d.Ctr("tasks", "rm", "--force", id)
		if out := d.MustCtr("containers", "ls", "-q"); contains(out, id) {
			d.MustCtr("containers", "rm", id)
		}
		_, _ = d.Ctr("snapshots", "rm", id) // taken, if the container record was not
	}
	out := d.MustCtr(d.RunArgs("--rm", ref, "last", "echo", "fine")...)
	if out != "fine\n" {
		t.Errorf("run after the crashes printed %q", out)
	}
}
