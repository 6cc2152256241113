// SPDX-License-Identifier: Apache-2.0

//go:build vm

package systemd

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

const (
	// counting writes numbered lines faster than a reader could be restarted, and leaves on request.
	counting = `trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo line $i; [ $((i%100)) = 0 ] && sleep 0.05; done`
	// ticking does so slowly.
	ticking = `trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done`
	// waiting ends on request, with much to say.
	waiting = `trap 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo last $i; done; exit 42' TERM; echo ready 1; while :; do sleep 0.1; done`
)

// The store is systemd's, what is in it grows and shrinks with the containers, and no process of ours
// holds anything.
func TestStoreIsSystemds(t *testing.T) {
	u := startUnit(t)
	u.eventually("the daemon says that systemd keeps its descriptors", func() bool {
		return strings.Contains(u.log(), `descriptors are kept while no daemon runs" by=systemd`)
	})
	if n := u.stored(); n != 0 {
		t.Errorf("%d descriptors without a container", n)
	}
	pod := u.runPod(u.pull())
	first := pod.run("first", counting)
	u.eventually("descriptors are stored", func() bool { return u.stored() > 0 })
	of := u.stored()
	second := pod.run("second", counting)
	u.eventually("those of another container, too", func() bool { return u.stored() > of })
	t.Logf("%d descriptors with one container, %d with two", of, u.stored())
	for _, m := range []*member{first, second} {
		m.stop()
		m.wantExit(7)
		m.remove()
	}
	u.wantEmptyStore()
	if _, err := os.Stat(run + "/state/io.containerd.runtime.v2.task/.fdstore/socket"); err == nil {
		t.Error("there is a holder beside systemd")
	}
}

// TestSurvive runs containers through every way in which a daemon ends and the next one starts. They
// are not touched; no line of their logs is lost, doubled or out of order; terminals go on in both
// directions; and what ended meanwhile is reported with the right code, which on this kernel only the
// eBPF recorder knows, and with all that it wrote.
func TestSurvive(t *testing.T) {
	u := startUnit(t)
	pod := u.runPod(u.pull())
	counter := pod.run("counter", counting)
	tty := pod.run("tty", ticking, func(c *cri.ContainerConfig) { c.Tty, c.Stdin = true, true })
	shell := u.runTerminal()
	shell.resize(100, 30)
	shell.types("echo a$((40+2))z", "a42z")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			u.through(t, &way, pod, counter, tty, shell)
		})
	}
	counter.stop()
	tty.stop()
	counter.wantExit(7)
	tty.wantExit(7)
	t.Logf("%d lines", counter.wantLines("line"))
	shell.end()
	if log := u.log(); strings.Contains(log, "exit status is not known") {
		t.Error("an exit status was not known")
	}
}

// through takes all containers through one way.
func (u *unit) through(t *testing.T, way *way, pod *pod, counter, tty *member, shell *task) {
	all := u.t
	u.t = t // whose failure it is
	defer func() { u.t = all }()
	ended, killed := pod.run("ended-"+way.name, waiting), pod.run("killed-"+way.name, waiting)
	for _, m := range []*member{ended, killed} {
		u.eventually(m.name+" is ready", func() bool { return m.wantLines("ready") == 1 })
	}
	lines, ticks := 0, 0
	u.between(way, func() {
		lines, ticks = counter.wantLines("line"), tty.count("line")
		for m, signal := range map[*member]unix.Signal{ended: unix.SIGTERM, killed: unix.SIGKILL} {
			if err := unix.Kill(m.pid, signal); err != nil {
				t.Fatal(err)
			}
			u.eventually(m.name+" ends", func() bool { return !testnode.Alive(m.pid) })
		}
		shell.write("echo " + way.name + "$((40+3))z") // waits in the FIFO
	})
	counter.wantUntouched()
	tty.wantUntouched()
	u.eventually("more lines are logged", func() bool { return counter.wantLines("line") > lines+1000 })
	ended.wantExit(42)
	killed.wantExit(128 + 9)
	u.eventually("all that was written at the end is logged", func() bool { return ended.wantLines("last") == 1000 })
	u.eventually("more of the terminal is logged", func() bool { return tty.count("line") > ticks+10 })
	shell.wantUntouched()
	u.eventually("what was typed meanwhile is answered", func() bool { return strings.Contains(shell.out.String(), way.name+"43z") })
	shell.types("stty size", "30 100")
	shell.resize(120, 40)
	shell.types("stty size", "40 120")
	shell.resize(100, 30)
}

// Stopping the unit is not stopping the pods. This systemd, before version 254, drops what it stored.
func TestSurviveStop(t *testing.T) {
	u := startUnit(t)
	pod := u.runPod(u.pull())
	counter := pod.run("counter", counting)
	u.eventually("lines are logged", func() bool { return counter.wantLines("line") > 100 })
	u.disconnect()
	u.systemctl("stop", name)
	lines := counter.wantLines("line")
	u.start()
	counter.wantUntouched()
	u.eventually("more lines are logged", func() bool { return counter.wantLines("line") > lines+1000 })
	counter.stop()
	counter.wantExit(7)
	t.Logf("%d lines", counter.wantLines("line"))
}

// A daemon that is killed again and again is started again and again.
func TestKilledOften(t *testing.T) {
	u := startUnit(t)
	pod := u.runPod(u.pull())
	counter := pod.run("counter", counting)
	for range 6 { // systemd's own limit is 5 starts in 10 s
		old := u.number("MainPID")
		if err := unix.Kill(old, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		u.eventually("systemd starts it again", func() bool { pid := u.number("MainPID"); return pid != 0 && pid != old })
	}
	u.eventually("it serves", func() bool { return u.property("ActiveState") == "active" })
	u.connect()
	counter.wantUntouched()
	lines := counter.wantLines("line")
	u.eventually("more lines are logged", func() bool { return counter.wantLines("line") > lines+1000 })
	counter.stop()
	counter.wantExit(7)
}
