// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// manager is the end of systemd that units notify.
type manager struct {
	t      testing.TB
	path   string
	socket int
}

func newManager(t testing.TB) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if m.socket, err = kernel.BindDatagram(m.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kernel.Close(m.socket) })
	if err := kernel.SetReceiveTimeout(m.socket, testnode.Patience); err != nil {
		t.Fatal(err)
	}
	return m
}

// env is what systemd gives to a service.
func (m *manager) env(size string) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, "FDSTORE=" + size, "SYSTEMD_EXEC_PID="}
}

func setenv(t *testing.T, env []string) {
	t.Helper()
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

// receive returns the next message and its descriptors.
func (m *manager) receive() (string, []*os.File) {
	m.t.Helper()
	message := make([]byte, 1024)
	r, err := kernel.ReceiveRights(m.socket, message, kernel.ControlBuffer(), 0)
	if err != nil || r.Sender == nil {
		m.t.Fatalf("%v, from %v", err, r.Sender)
	}
	var files []*os.File
	for _, fd := range r.Rights {
		f := os.NewFile(uintptr(fd), "received")
		m.t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return string(message[:r.Length]), files
}

func (m *manager) wantMessage(want string) []*os.File {
	m.t.Helper()
	got, files := m.receive()
	if got != want {
		m.t.Errorf("message %q, want %q", got, want)
	}
	return files
}

func TestSystemdMessages(t *testing.T) {
	m, p := newManager(t), newPlace(t)
	setenv(t, m.env("3"))
	s := p.open(Auto)
	if s.Kind() != Systemd {
		t.Fatalf("%s in a unit with a store", s.Kind())
	}
	stdout, stderr := newPipe(t), newPipe(t)
	put(t, s, "log/box", stdout.read, stderr.read)
	key, err := keyOf("log/box")
	if err != nil {
		t.Fatal(err)
	}
	files := m.wantMessage("FDSTORE=1\nFDPOLL=0\nFDNAME=" + key)
	if len(files) != 2 {
		t.Fatalf("%d descriptors came, want 2", len(files))
	}
	wantSame(t, files[0], stdout.read)
	wantSame(t, files[1], stderr.read)
	if err := s.Put("log/more", stdout.write, stderr.write); !errdefs.IsResourceExhausted(err) {
		t.Errorf("the fourth in a unit with FileDescriptorStoreMax=3: %v", err)
	}
	s.Remove("log/never")
	s.Remove("log/box")
	m.wantMessage("FDSTOREREMOVE=1\nFDNAME=" + key)
	wantLen(t, s, 0)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A systemd that takes nothing costs Put sendPatience, once.
func TestStuckSystemd(t *testing.T) {
	m, p := newManager(t), newPlace(t)
	setenv(t, m.env("10000"))
	s := p.open(Systemd)
	began, failed := time.Now(), 0
	for i := range 600 {
		if err := s.Put(fmt.Sprintf("log/%d", i), os.Stdin); errdefs.IsUnavailable(err) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// Waited for each time, they would take failed*sendPatience.
	if took := time.Since(began); failed < 20 || took > time.Duration(failed)*sendPatience/2 {
		t.Errorf("%d of 600 failed, in %v", failed, took)
	}
	wantLen(t, s, 600-failed)
	for range 600 - failed {
		m.receive()
	}
	put(t, s, "log/again", os.Stdin)
}

// start starts a daemon as systemd does, with descriptors, and returns what it printed.
func (p *place) start(kind string, names string, files []*os.File, env ...string) string {
	p.t.Helper()
	daemon := command("passed", append(env, dirVariable+"="+p.dir, "FDSTORE_TEST_KIND="+kind,
		"LISTEN_FDNAMES="+names, fmt.Sprintf("LISTEN_FDS=%d", len(files)))...)
	daemon.ExtraFiles = files
	out, err := daemon.Output()
	if err != nil {
		p.t.Fatalf("the daemon: %v", err)
	}
	return string(out)
}

func wantOutput(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("the daemon printed %q, want %q", got, want)
	}
}

// filled is the reading end of a pipe that holds text.
func filled(t testing.TB, text string) *os.File {
	t.Helper()
	pipe := newPipe(t)
	if _, err := pipe.write.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return pipe.read
}

// Descriptors that the unit got otherwise are left alone.
func TestPassedDescriptors(t *testing.T) {
	m, p := newManager(t), newPlace(t)
	box, err := keyOf("log/box")
	if err != nil {
		t.Fatal(err)
	}
	other, err := keyOf("task/other")
	if err != nil {
		t.Fatal(err)
	}
	files := []*os.File{filled(t, "a"), filled(t, "b"), filled(t, "c"), filled(t, "d")}
	names := strings.Join([]string{box, "sardined.socket", other, box}, ":")
	wantOutput(t, p.start(Auto, names, files, m.env("100")...), "systemd 3\nbox a\nbox d\n")
}

// Names that do not match the descriptors say nothing.
func TestPassedBadNames(t *testing.T) {
	m, p := newManager(t), newPlace(t)
	wantOutput(t, p.start(Auto, "a:b:c", []*os.File{filled(t, "a")}, m.env("100")...), "systemd 0\n")
}

// systemd could not start a unit with more in its store.
func TestUnitLimits(t *testing.T) {
	for limits, want := range map[unitLimits]int{
		{store: 10000, files: 1024}:                    512,
		{store: 10, files: 1024}:                       10,
		{store: 10, files: 1}:                          0,
		{store: 0, files: 1024}:                        0,
		{store: math.MaxUint32, files: math.MaxUint64}: int(mostPassed),
	} {
		if got := limits.max(); got != want {
			t.Errorf("%+v: %d descriptors, want %d", limits, got, want)
		}
	}
}

// A unit without a store, another process of the unit, and no unit at all.
func TestAutoWithoutSystemd(t *testing.T) {
	m := newManager(t)
	for what, env := range map[string][]string{
		"no unit":          {"NOTIFY_SOCKET="},
		"a virtual socket": {"NOTIFY_SOCKET=vsock:2:1234", "FDSTORE=10"},
		"no store":         m.env("0"),
		"not the main one": append(m.env("10"), "SYSTEMD_EXEC_PID=1"),
	} {
		t.Run(what, func(t *testing.T) {
			setenv(t, env)
			p := newPlace(t)
			if s := p.open(Auto); s.Kind() != Holder {
				t.Errorf("%s, want the holder", s.Kind())
			}
			if _, err := Open(t.Context(), p.options(Systemd)); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("systemd where there is none: %v", err)
			}
		})
	}
}

// A daemon that is started by systemd after one that was not takes over what that one kept,
// and the other way round.
func TestMoveBetweenKeepers(t *testing.T) {
	m, p := newManager(t), newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", filled(t, "output"))
	key, err := keyOf("log/box")
	if err != nil {
		t.Fatal(err)
	}
	die(s)
	setenv(t, m.env("10"))
	var kept []*os.File
	p.wantEnd(func() error {
		s := p.open(Auto)
		wantLen(t, s, 1)
		kept = m.wantMessage("FDSTORE=1\nFDPOLL=0\nFDNAME=" + key)
		return nil
	})
	wantOutput(t, p.start(Holder, key, kept), "holder 1\nbox output\n")
	m.wantMessage("FDSTOREREMOVE=1\nFDNAME=" + key)
	wantLen(t, p.open(Holder), 1)
}

// A daemon that is to keep nothing still finds what there is, once.
func TestMoveToNothing(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", filled(t, "output"))
	die(s)
	p.wantEnd(func() error {
		s := p.open(None)
		wantText(t, take(t, s, "log/box"), "output")
		wantLen(t, s, 0)
		return s.Close()
	})
}
