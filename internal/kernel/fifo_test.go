// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func openFD(t *testing.T, path string, flags int) int {
	t.Helper()
	fd, err := OpenFD(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// newFIFO returns the ends of a FIFO and a scratch pipe beside it.
func newFIFO(t *testing.T) (path string, reader, scratchReader, scratchWriter int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader = openFD(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
	scratchReader, scratchWriter, err := ScratchPipe(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(reader); unix.Close(scratchReader); unix.Close(scratchWriter) })
	return path, reader, scratchReader, scratchWriter
}

func TestTeeLeavesWhatDropTakes(t *testing.T) {
	path, reader, scratchReader, scratchWriter := newFIFO(t)
	null := openFD(t, "/dev/null", unix.O_WRONLY)
	defer unix.Close(null)
	expect := func(what string, got, want int, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", what, got, err, want)
		}
	}
	n, err := Tee(reader, scratchWriter, 100)
	expect("tee without a writer", n, 0, err)
	writer := openFD(t, path, unix.O_WRONLY)
	n, err = Tee(reader, scratchWriter, 100)
	expect("tee of nothing", n, 0, err)
	if _, err := unix.Write(writer, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	n, err = Tee(reader, scratchWriter, 7)
	expect("tee", n, 7, err)
	n, err = Waiting(scratchReader)
	expect("in the scratch pipe", n, 7, err)
	n, err = Waiting(reader)
	expect("in the FIFO", n, 10, err)
	n, err = Drop(reader, null, 4)
	expect("drop", n, 4, err)
	buf := make([]byte, 10)
	if n, err := unix.Read(reader, buf); err != nil || string(buf[:n]) != "456789" {
		t.Errorf("after drop: %q, %v", buf[:n], err)
	}
	n, err = Drop(reader, null, 4)
	expect("drop of nothing", n, 0, err)

	if gone, err := NoWriter(reader); gone || err != nil {
		t.Errorf("with a writer: %v, %v", gone, err)
	}
	unix.Close(writer)
	if gone, err := NoWriter(reader); !gone || err != nil {
		t.Errorf("without it: %v, %v", gone, err)
	}
	if _, err := Tee(reader, null, 1); !errors.Is(err, unix.EINVAL) {
		t.Errorf("tee to what is no pipe: %v", err)
	}
}

func TestEpollWaitTellsHangUp(t *testing.T) {
	path, reader, _, _ := newFIFO(t)
	epoll, err := EpollCreate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	stop, err := EventFD()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stop)
	const token, stopToken = 1<<40 | 7, 3
	if err := errors.Join(EpollAdd(epoll, reader, token), EpollKeep(epoll, stop, stopToken)); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, wantToken uint64, wantHungUp bool) {
		t.Helper()
		if got, hungUp, err := EpollWait(epoll); got != wantToken || hungUp != wantHungUp || err != nil {
			t.Errorf("%s: %x, %v, %v", what, got, hungUp, err)
		}
	}
	writer := openFD(t, path, unix.O_WRONLY)
	if _, err := unix.Write(writer, []byte("x")); err != nil {
		t.Fatal(err)
	}
	expect("readable", token, false)
	unix.Close(writer)
	if tokens, err := EpollPoll(epoll, nil, 2); len(tokens) != 0 || err != nil {
		t.Errorf("watched once, it is told again: %x, %v", tokens, err)
	}
	if err := EpollRearm(epoll, reader, token); err != nil {
		t.Fatal(err)
	}
	expect("hung up", token, true)
	if err := Signal(stop); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		expect("stop", stopToken, false)
	}
}
