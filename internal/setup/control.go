// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// control is sardine-init's end of the control socket: see plan.Kind.
type control struct{ fd int }

var errProtocol = errors.New("unexpected message on the control socket")

// receivePlan reads the daemon's first message.
func (c *control) receivePlan() (*plan.Plan, error) {
	kind, payload, err := c.receive()
	if err != nil {
		return nil, err
	}
	if kind != plan.SendPlan {
		return nil, errProtocol
	}
	return plan.Decode(payload)
}

func (c *control) receive() (plan.Kind, []byte, error) {
	var h [plan.HeaderSize]byte
	if err := c.readFull(h[:]); err != nil {
		return 0, nil, err
	}
	kind, n, err := plan.ParseHeader(h)
	if err != nil {
		return 0, nil, err
	}
	payload := make([]byte, n)
	return kind, payload, c.readFull(payload)
}

func (c *control) readFull(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(c.fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errors.New("control socket closed")
		default:
			b = b[n:]
		}
	}
	return nil
}

// send writes one message, with a descriptor when fd is not plan.NoFD.
func (c *control) send(kind plan.Kind, payload []byte, fd int) error {
	h := plan.Header(kind, len(payload))
	var rights []byte
	if fd != plan.NoFD {
		rights = unix.UnixRights(fd)
	}
	b := append(h[:], payload...)
	for len(b) > 0 {
		n, err := unix.SendmsgN(c.fd, b, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, rights = b[n:], nil
	}
	return nil
}

// ask sends a message and waits for its answer. A daemon that says Start once more is
// another one than the one that was asked: it is asked again.
func (c *control) ask(kind plan.Kind, payload []byte, answer plan.Kind) error {
	for {
		if err := c.send(kind, payload, plan.NoFD); err != nil {
			return err
		}
		switch c.next() {
		case answer:
			return nil
		case plan.Start:
		default:
			return errProtocol
		}
	}
}

// await waits for a message of one kind.
func (c *control) await(kind plan.Kind) error {
	if c.next() != kind {
		return errProtocol
	}
	return nil
}

// next returns the kind of the daemon's next message. A closed socket means that the daemon
// gave this process up: it ends without a word.
func (c *control) next() plan.Kind {
	kind, _, err := c.receive()
	if err != nil {
		exit()
	}
	return kind
}

// check ends the process when err is not nil.
func (c *control) check(stage string, err error) {
	if err != nil {
		c.fail(stage, err)
	}
}

// fail tells the daemon what went wrong and ends the process.
func (c *control) fail(stage string, err error) {
	f := plan.Failure{Stage: stage, Message: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	_ = c.send(plan.Failed, plan.EncodeFailure(f), plan.NoFD) // nobody left to tell
	exit()
}

func exit() { unix.Exit(1) }

// Die reports an error that happened before there was a control socket.
func Die(message string) {
	_, _ = unix.Write(2, []byte(message+"\n"))
	exit()
}
