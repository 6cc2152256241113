// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nonblocking reads O_NONBLOCK of f without changing it.
func nonblocking(t *testing.T, f *os.File) bool {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	if cerr := conn.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return flags&unix.O_NONBLOCK != 0
}

func TestPipes(t *testing.T) {
	reader, programOut, err := OutputPipe()
	if err != nil {
		t.Fatal(err)
	}
	writer, programIn, err := InputPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{reader, writer} {
		defer f.Close()
		if !nonblocking(t, f) {
			t.Error("the daemon's end blocks")
		}
		if err := f.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("the poller does not serve the daemon's end: %v", err)
		}
	}
	for _, f := range []*os.File{programOut, programIn} {
		defer f.Close()
		if nonblocking(t, f) {
			t.Error("the program's end does not block")
		}
	}
	for _, way := range []struct{ in, out *os.File }{{programOut, reader}, {writer, programIn}} {
		if _, err := way.in.WriteString("x"); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(way.out, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}
}

// TestPipeReadIsInterrupted: a reader can be ended while it waits.
func TestPipeReadIsInterrupted(t *testing.T) {
	reader, program, err := OutputPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	ended := make(chan error)
	go func() {
		_, err := reader.Read(make([]byte, 1))
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	reader.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
