// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/sardine-run/sardine/internal/testnode"
)

// loadTask finds a task after a restart.
func loadTask(t *testing.T, d *Daemon, id string) containerd.Task {
	t.Helper()
	c, err := d.Client().LoadContainer(d.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.Task(d.Context(), cio.Load)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// crash kills the daemon and starts it again after between.
func crash(d *Daemon, between func()) {
	d.closeClient()
	d.Kill9()
	between()
	d.Start()
}

// TestDaemonCrash: containers outlive the daemon, and the next one knows how those that
// ended meanwhile have ended.
func TestDaemonCrash(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	log := filepath.Join(d.Dir, "log-of-ticks")
	c := newContainer(t, d, ref, "ticks", oci.WithProcessArgs("sh", "-c", "while :; do echo tick; sleep 0.02; done"))
	ticks := newTask(t, d, c, cio.LogFile(log))
	startProcess(t, d, ticks)
	paused := runTask(t, d, ref, "paused", oci.WithProcessArgs("sleep", "600"))
	must(t, paused.Pause(d.Context()))
	// 42 by itself, and by a signal.
	coded := runTask(t, d, ref, "coded", oci.WithProcessArgs("sh", "-c", onTerm("exit 42")))
	killed := runTask(t, d, ref, "killed", oci.WithProcessArgs("sleep", "600"))
	before := runTask(t, d, ref, "before", oci.WithProcessArgs("sh", "-c", "exit 5"))
	waitProcess(t, d, before)
	newTask(t, d, newContainer(t, d, ref, "created", oci.WithProcessArgs("sleep", "600")), cio.NullIO)
	exec, _ := addExec(t, d, ticks, "e", shell("exec sleep 600"), cio.WithStreams(nil, nil, nil))
	startProcess(t, d, exec)
	trapIsSet(t, d, "coded")
	pids := map[string]uint32{"ticks": ticks.Pid(), "paused": paused.Pid()}

	var size int64
	crash(d, func() {
		must(t, syscall.Kill(int(coded.Pid()), syscall.SIGTERM))
		must(t, syscall.Kill(int(killed.Pid()), syscall.SIGKILL))
		for _, task := range []containerd.Task{coded, killed} {
			testnode.Eventually(t, fmt.Sprint("process ", task.Pid(), " ends"), func() bool { return syscall.Kill(int(task.Pid()), 0) != nil })
		}
		size = fileSize(t, log)
		testnode.Eventually(t, "the program writes without a daemon", func() bool { return fileSize(t, log) > size })
	})

	for id, want := range map[string]string{
		"ticks": "RUNNING", "paused": "PAUSED", "coded": "STOPPED", "killed": "STOPPED", "before": "STOPPED", "created": "CREATED",
	} {
		testnode.Eventually(t, id+" is "+want, func() bool { return status(d, id) == want })
	}
	for id, pid := range pids {
		if got := loadTask(t, d, id).Pid(); got != pid {
			t.Errorf("%s has pid %d, had %d", id, got, pid)
		}
	}
	for id, want := range map[string]uint32{"coded": 42, "killed": 137, "before": 5} {
		if got := waitProcess(t, d, loadTask(t, d, id)); got != want {
			t.Errorf("%s has exit status %d, want %d", id, got, want)
		}
	}
	worksAsBefore(t, d)
	for _, id := range []string{"ticks", "paused", "coded", "killed", "before", "created"} {
		task := loadTask(t, d, id)
		if status(d, id) != "STOPPED" {
			must(t, task.Kill(d.Context(), syscall.SIGKILL))
			waitProcess(t, d, task)
		}
		deleteTask(t, d, task)
	}
}

// worksAsBefore does things with containers of the earlier daemon.
func worksAsBefore(t *testing.T, d *Daemon) {
	t.Helper()
	must(t, loadTask(t, d, "paused").Resume(d.Context()))
	if out := d.MustCtr(d.ExecArgs("--exec-id", "new", "ticks", "echo", "hello")...); out != "hello\n" {
		t.Errorf("exec printed %q", out)
	}
	old, err := loadTask(t, d, "ticks").LoadProcess(d.Context(), "e", cio.Load)
	if err != nil {
		t.Fatal(err)
	}
	must(t, old.Kill(d.Context(), syscall.SIGTERM))
	if code := waitProcess(t, d, old); code != 143 {
		t.Errorf("the exec of the earlier daemon: exit status %d, want 143", code)
	}
	if out := d.MustCtr("tasks", "metrics", "ticks"); !strings.Contains(out, "ticks") {
		t.Errorf("metrics: %q", out)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestExitAfterRestart: the exit of a process that is not the daemon's child is told.
func TestExitAfterRestart(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	runTask(t, d, ref, "one", oci.WithProcessArgs("sh", "-c", onTerm("exit 7")))
	trapIsSet(t, d, "one")
	crash(d, func() {})
	events := collectEvents(t, d)
	task := loadTask(t, d, "one")
	must(t, task.Kill(d.Context(), syscall.SIGTERM))
	if code := waitProcess(t, d, task); code != 7 {
		t.Errorf("exit status %d, want 7", code)
	}
	events.await(t, "/tasks/exit")
	deleteTask(t, d, task)
	events.await(t, "/tasks/delete")
	list := events.all()
	if len(list) != 2 || !strings.Contains(list[0], `"exit_status":7`) {
		t.Errorf("events: %q", list)
	}
}

// TestStockShimsSurviveRestart: what is held inside is loaded too, and our containers'
// directories are not taken for left-over shims.
func TestStockShimsSurviveRestart(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	runTask(t, d, ref, "ours", oci.WithProcessArgs("sleep", "600"))
	d.Runtime = Runc
	runTask(t, d, ref, "theirs", oci.WithProcessArgs("sleep", "600"))
	crash(d, func() {})
	for _, id := range []string{"ours", "theirs"} {
		testnode.Eventually(t, id+" runs", func() bool { return status(d, id) == "RUNNING" })
	}
}
