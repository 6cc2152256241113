// SPDX-License-Identifier: Apache-2.0

package plan

import "encoding/binary"

// ControlFD is the descriptor of the control socket in sardine-init, an AF_UNIX
// stream. Messages are framed: kind, length (uint32, little endian), payload.
const ControlFD = 3

// HeaderSize is the length of a frame's header in bytes.
const HeaderSize = 5

// Kind tells what a message means.
type Kind byte

// Messages of the daemon. A process that was created may be started by a daemon of another
// build: Taken, Start, Listener and Failed stay as they are.
const (
	SendPlan  Kind = 'p' // payload: Encode(Plan)
	HooksDone Kind = 'h'
	Taken     Kind = 't' // the descriptor announced by Listener was taken over
	Start     Kind = 's' // may come again, from a daemon that does not know whether an earlier one has said it
)

// Messages of sardine-init.
const (
	Spawned  Kind = 'P' // with one descriptor: pidfd of the process that goes on in our place
	Hooks    Kind = 'H' // namespaces exist: run the hooks, answer HooksDone
	Terminal Kind = 'T' // with one descriptor: the pty master
	Listener Kind = 'L' // payload: uvarint number of the seccomp listener in sardine-init, answer Taken
	Ready    Kind = 'R' // waits for Start
	Failed   Kind = 'F' // payload: EncodeFailure
)

// Header returns the frame header for a payload of n bytes.
func Header(k Kind, n int) [HeaderSize]byte {
	h := [HeaderSize]byte{byte(k)}
	binary.LittleEndian.PutUint32(h[1:], uint32(n))
	return h
}

// ParseHeader reads a frame header; it refuses payloads over MaxSize.
func ParseHeader(h [HeaderSize]byte) (Kind, int, error) {
	n := binary.LittleEndian.Uint32(h[1:])
	if n > MaxSize {
		return 0, 0, ErrMalformed
	}
	return Kind(h[0]), int(n), nil
}

// Failure is why sardine-init gave up.
type Failure struct {
	Stage   string // what it was doing, e.g. "mount /proc"
	Message string // what went wrong, for people
	Errno   int    // 0 when no system call failed
}

// EncodeFailure returns the payload of a Failed message.
func EncodeFailure(f Failure) []byte {
	var c codec
	f.code(&c)
	return c.buf
}

// DecodeFailure reads the payload of a Failed message.
func DecodeFailure(b []byte) (Failure, error) {
	c := codec{buf: b, decoding: true}
	var f Failure
	f.code(&c)
	if c.bad || len(c.buf) != 0 {
		return Failure{}, ErrMalformed
	}
	return f, nil
}

func (f *Failure) code(c *codec) {
	c.string(&f.Stage)
	c.string(&f.Message)
	number(c, &f.Errno)
}
