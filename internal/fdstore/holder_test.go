// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// What Put has returned for is there after kill -9.
func TestKilledDaemonLosesNothing(t *testing.T) {
	p := newPlace(t)
	daemon := command("put", dirVariable+"="+p.dir)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if names = append(names, lines.Text()); len(names) == 300 {
			if err := daemon.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := daemon.Wait(); err == nil {
		t.Fatal("the daemon ended by itself")
	}
	s := p.open(Holder)
	if len(names) < 300 || s.Len() < len(names) {
		t.Errorf("%d descriptors put, %d kept", len(names), s.Len())
	}
	for _, name := range names {
		wantText(t, take(t, s, name), name)
	}
}

// However many daemons start at the same time, there is one holder, and all use it.
func TestNeverTwoHolders(t *testing.T) {
	p := newPlace(t)
	const daemons = 8
	var started sync.WaitGroup
	for range daemons {
		daemon := command("open", dirVariable+"="+p.dir)
		in, errIn := daemon.StdinPipe()
		out, errOut := daemon.StdoutPipe()
		if err := errors.Join(errIn, errOut, daemon.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			if err := daemon.Wait(); err != nil {
				t.Errorf("a daemon: %v", err)
			}
		})
		started.Go(func() {
			fmt.Fprintln(in, "go")
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "put\n" {
				t.Errorf("a daemon printed %q, %v", line, err)
			}
		})
	}
	started.Wait()
	p.holder()
	wantLen(t, p.open(Holder), daemons)
	p.holder()
}

// The holder has nothing of the daemon that started it.
func TestHolderStandsAlone(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", newPipe(t).read)
	wantLen(t, p.open(Holder), 1) // it has dealt with the message
	pid := p.holder()
	proc := fmt.Sprintf("/proc/%d/", pid)
	stat, err := kernel.ReadProcStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	if stat.PPid == os.Getpid() || stat.Session != pid || stat.Group != pid || stat.Comm != "sardine-fdstore" {
		t.Errorf("%+v: want another parent, a session of its own, a name", stat)
	}
	if dir, err := os.Readlink(proc + "cwd"); dir != "/" {
		t.Errorf("its directory is %s, %v", dir, err)
	}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, fd := range fds {
		file, _ := os.Readlink(proc + "fd/" + fd.Name())
		kind, _, _ := strings.Cut(file, ":[")
		open = append(open, kind)
	}
	slices.Sort(open)
	if want := []string{"/dev/null", "/dev/null", "/dev/null", p.dir + "/lock", "anon_inode:inotify", "pipe", "socket", "socket"}; !slices.Equal(open, want) {
		t.Errorf("it has %q open, want %q", open, want)
	}
	cgroups, err := os.ReadFile(proc + "cgroup")
	for line := range strings.Lines(string(cgroups)) {
		if !strings.HasSuffix(line, ":/\n") || err != nil {
			t.Errorf("it is in cgroup %s, %v", strings.TrimSpace(line), err)
		}
	}
	for _, path := range []string{p.dir, p.socket()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// Only SIGKILL ends a holder that holds something.
func TestHolderIgnoresSignals(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", newPipe(t).read)
	pid := p.holder()
	for _, signal := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGPIPE} {
		if err := unix.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	die(s)
	s = p.open(Holder)
	take(t, s, "log/box")
	if now := p.holder(); now != pid {
		t.Errorf("another holder: %d, was %d", now, pid)
	}
}

// A daemon that ends cleanly leaves a process only if that holds something.
func TestCloseEndsEmptyHolder(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", newPipe(t).read)
	pid := p.holder()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = p.open(Holder)
	if now := p.holder(); now != pid {
		t.Errorf("another holder: %d, was %d", now, pid)
	}
	wantLen(t, s, 1)
	s.Remove("log/box")
	p.wantEnd(s.Close)
	if err := s.Put("log/late", os.Stdin); !errdefs.IsUnavailable(err) {
		t.Errorf("put into a closed store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := os.Stat(p.socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left: %v", err)
	}
}

// A daemon that dies leaves a process only if that holds something, be it put in the last moment.
func TestDeathEndsEmptyHolder(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	p.wantEnd(func() error { die(s); return nil })
	for range 50 {
		s := p.open(Holder)
		put(t, s, "log/box", newPipe(t).read)
		die(s)
		s = p.open(Holder)
		wantLen(t, s, 1)
		s.Remove("log/box")
		die(s)
	}
}

// A daemon that starts while the last one's holder ends gets a holder.
func TestOpenWhileHolderEnds(t *testing.T) {
	p := newPlace(t)
	for range 50 {
		s := p.open(Holder)
		put(t, s, "log/box", newPipe(t).read)
		s.Remove("log/box")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.open(Holder)
	p.holder()
}

// Daemons that come and go while the holder does not run for a moment are not mistaken for each other.
func TestHolderOfTheLast(t *testing.T) {
	p := newPlace(t)
	first := p.open(Holder)
	pid := p.stop()
	die(first)
	h := &holding{path: p.dir}
	k := newKeeper(Holder, h.dial)
	defer k.close()
	ask := func() (answer int) {
		ends, err := kernel.PacketPair()
		if err == nil {
			err = k.send(holder.Message{Order: holder.List}, ends[1])
		}
		if err != nil {
			t.Fatal(err)
		}
		kernel.Close(ends[1])
		return ends[0]
	}
	kernel.Close(ask())
	last := ask()
	defer kernel.Close(last)
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	has := inventory{found: descriptors{}}
	if err := has.read(last); err != nil || has.pid != pid {
		t.Fatalf("the answer of %d: %v", has.pid, err)
	}
	time.Sleep(50 * time.Millisecond) // in which a holder that took the last for the first would end
	key, err := keyOf("log/box")
	if err == nil {
		err = k.send(holder.Message{Order: holder.Store, Name: key}, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantLen(t, p.open(Holder), 1)
}

// The holder of one daemon does not end with another one that was there before.
func TestHolderOfTwo(t *testing.T) {
	p := newPlace(t)
	first, second := p.open(Holder), p.open(Holder)
	pid := p.holder()
	die(first)
	put(t, second, "log/box", newPipe(t).read)
	second.Remove("log/box")
	put(t, second, "log/box", newPipe(t).read)
	if now := p.holder(); now != pid || strings.Contains(p.log.String(), "has ended") {
		t.Errorf("holder %d, was %d\n%s", now, pid, &p.log)
	}
}

func TestHolderKilled(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/lost", newPipe(t).read)
	killed := p.holder()
	p.wantEnd(func() error { return unix.Kill(killed, unix.SIGKILL) })
	p.wantGoesOn(s)
	if pid := p.holder(); pid == killed {
		t.Errorf("the holder is still %d", pid)
	}
}

func TestSocketRemoved(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/lost", newPipe(t).read)
	p.wantEnd(func() error { return os.Remove(p.socket()) }) // nobody would find it
	p.wantGoesOn(s)
}

// The holder notices in the very moment of the removal.
func TestSocketRemovedOften(t *testing.T) {
	p := newPlace(t)
	for range 100 {
		s := p.open(Holder)
		put(t, s, "log/box", os.Stdin)
		p.wantEnd(func() error { return os.Remove(p.socket()) })
		die(s)
	}
}

func TestDirectoryRemoved(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	p.wantEnd(func() error { return os.RemoveAll(filepath.Dir(p.dir)) })
	p.wantGoesOn(s)
}

// wantGoesOn expects Put to work again after the holder was lost.
func (p *place) wantGoesOn(s *Store) {
	p.t.Helper()
	for _, name := range []string{"log/a", "log/b"} {
		put(p.t, s, name, newPipe(p.t).read)
	}
	wantLen(p.t, s, 2)
	if n := strings.Count(p.log.String(), "holder of descriptors has ended"); n != 1 {
		p.t.Errorf("%d warnings, want one:\n%s", n, &p.log)
	}
	die(s)
	s = p.open(Holder)
	wantLen(p.t, s, 2)
	take(p.t, s, "log/b")
}

// A holder that does not take messages costs Put sendPatience, once.
func TestStuckHolder(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	pid := p.stop()
	began, failed := time.Now(), 0
	for i := range 600 { // more than any queue takes, see net.unix.max_dgram_qlen
		if err := s.Put(fmt.Sprintf("log/%d", i), os.Stdin); err != nil {
			if failed++; !errdefs.IsUnavailable(err) {
				t.Errorf("%v", err)
			}
		}
	}
	// Waited for each time, they would take failed*sendPatience.
	if took := time.Since(began); failed < 20 || took > time.Duration(failed)*sendPatience/2 {
		t.Errorf("%d of 600 failed, in %v", failed, took)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	kept := s.Len()
	testnode.Eventually(t, "Put works again", func() bool { return s.Put("log/again", os.Stdin) == nil })
	die(s)
	wantLen(t, p.open(Holder), kept+1)
}

// A holder that a busy node holds up for seconds costs a daemon time, and nothing else.
func TestHolderHeldUp(t *testing.T) {
	const messages = 600
	p := newPlace(t)
	s := p.open(Holder)
	p.holdUp()
	for i := range messages { // more than any queue takes
		if err := s.Put(fmt.Sprintf("log/%d", i), os.Stdin); err != nil {
			t.Fatal(err)
		}
	}
	die(s)
	p.holdUp()
	wantLen(t, p.open(Holder), messages)
}

// holdUp keeps the holder from running for longer than a busy node does.
func (p *place) holdUp() {
	p.t.Helper()
	pid := p.stop()
	goesOn := time.AfterFunc(6*time.Second, func() { _ = unix.Kill(pid, unix.SIGCONT) })
	p.t.Cleanup(func() { goesOn.Stop() })
}

// A daemon does not wait forever for a holder's answer, and says what can be done.
func TestStuckHolderAtStart(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", newPipe(t).read)
	die(s)
	p.stop()
	if _, err := Open(t.Context(), p.options(Holder)); err == nil || !strings.Contains(err.Error(), "kill the process sardine-fdstore") {
		t.Errorf("%v", err)
	}
}

// Nobody but root is listened to, however he came by the socket.
func TestStrangers(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	put(t, s, "log/box", newPipe(t).read)
	key, err := keyOf("log/box")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := kernel.DialDatagram(p.socket())
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(socket), "socket")
	defer file.Close()
	stranger := command("stranger", "FDSTORE_TEST_KEY="+key)
	stranger.ExtraFiles = []*os.File{file}
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := stranger.Run(); err != nil {
		t.Fatal(err)
	}
	s = p.open(Holder)
	wantLen(t, s, 1)
	take(t, s, "log/box")
}

// 4,000 descriptors are held in 4 MB, although the daemon gives a low limit on: the promise of
// SPECIFICATION.md.
func TestHolderMemory(t *testing.T) {
	const descriptors, most = 4000, 4096
	p := newPlace(t)
	s := p.open(Holder)
	pipe := newPipe(t)
	for i := range descriptors / 2 {
		put(t, s, fmt.Sprintf("log/%064d", i), pipe.read, pipe.write)
	}
	die(s)
	s = p.open(Holder)
	wantLen(t, s, descriptors)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.holder()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(kilobytes)[0])
			t.Logf("%d KB resident with %d descriptors", n, descriptors)
			if err != nil || n > most {
				t.Errorf("%d KB resident, %v; at most %d", n, err, most)
			}
		}
	}
	for i := range descriptors / 2 {
		s.Remove(fmt.Sprintf("log/%064d", i))
	}
	p.wantEnd(s.Close)
}

// A holder of a later version is not misunderstood.
func TestOtherVersion(t *testing.T) {
	p := newPlace(t)
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket, err := kernel.BindDatagram(p.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close(socket)
	answered := make(chan error, 1)
	go func() {
		r, err := kernel.ReceiveRights(socket, make([]byte, 1024), kernel.ControlBuffer(), 0)
		if err == nil {
			later := holder.Reply{Version: holder.Version + 1}
			err = kernel.SendRights(r.Rights[0], later.Encode(), nil, 0)
			kernel.Close(r.Rights...)
		}
		answered <- err
	}()
	_, err = Open(t.Context(), p.options(Holder))
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v", err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// Where sardine-init is missing or too old, the daemon says so at its start.
func TestNoInit(t *testing.T) {
	p := newPlace(t)
	for _, c := range []struct{ init, want string }{{filepath.Join(t.TempDir(), "none"), "no such file"}, {"/bin/false", "exit status 1"}} {
		opts := p.options(Holder)
		opts.Init = c.init
		if _, err := Open(t.Context(), opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.init, err)
		}
	}
	if out, err := exec.Command(initPath, "fdstore", "unknown", p.dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "a step") {
		t.Errorf("%s, %v", out, err)
	}
	p.open(Holder)
}
