// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// MaxRights is the largest number of descriptors in one message: SCM_MAX_FD of the kernel.
const MaxRights = 253

// DialDatagram returns a datagram socket connected to the one bound to path, whose first
// character '@' means the abstract name space: connect(2), unix(7). ECONNREFUSED when
// nobody has the socket any more.
func DialDatagram(path string) (int, error) {
	fd, err := unixSocket(unix.SOCK_DGRAM)
	if err != nil {
		return -1, err
	}
	address := &unix.SockaddrUnix{Name: path}
	if err := retry(func() error { return unix.Connect(fd, address) }); err != nil {
		unix.Close(fd)
		return -1, wrap("connect", path, err)
	}
	return fd, nil
}

// BindDatagram returns a datagram socket bound to path, a new file with mode 0600. Its
// messages carry the credentials of who sent them (SO_PASSCRED).
func BindDatagram(path string) (int, error) {
	fd, err := unixSocket(unix.SOCK_DGRAM)
	if err != nil {
		return -1, err
	}
	err = wrap("setsockopt", "SO_PASSCRED", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	if err == nil {
		// The file gets the socket's mode, which spares a moment at which others reach it.
		err = wrap("fchmod", path, unix.Fchmod(fd, 0o600))
	}
	if err == nil {
		err = wrap("bind", path, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func unixSocket(kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	return fd, wrap("socket", "AF_UNIX", err)
}

// PacketPair returns a pair of connected sockets that keep the boundaries of messages:
// socketpair(2) SOCK_SEQPACKET.
func PacketPair() ([2]int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	return fds, wrap("socketpair", "SOCK_SEQPACKET", err)
}

// SetSendTimeout bounds how long sending on the socket fd waits for the receiver, which then
// fails with EAGAIN: socket(7) SO_SNDTIMEO.
func SetSendTimeout(fd int, d time.Duration) error {
	return setTimeout(fd, unix.SO_SNDTIMEO, "SO_SNDTIMEO", d)
}

// SetReceiveTimeout bounds how long receiving from fd waits: socket(7) SO_RCVTIMEO.
func SetReceiveTimeout(fd int, d time.Duration) error {
	return setTimeout(fd, unix.SO_RCVTIMEO, "SO_RCVTIMEO", d)
}

func setTimeout(fd, option int, name string, d time.Duration) error {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	return wrap("setsockopt", name, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv))
}

// SendRights sends one message with duplicates of the descriptors rights, at most MaxRights:
// sendmsg(2) with SCM_RIGHTS. flags may be MSG_DONTWAIT.
func SendRights(fd int, message []byte, rights []int, flags int) error {
	var control []byte
	if len(rights) > 0 {
		control = unix.UnixRights(rights...)
	}
	err := retry(func() error { return unix.Sendmsg(fd, message, control, nil, flags|unix.MSG_NOSIGNAL) })
	if err == nil {
		return nil // before there is a string to be made
	}
	return wrap("sendmsg", "fd "+strconv.Itoa(fd), err)
}

// Received is a message that ReceiveRights has read.
type Received struct {
	Length    int
	Rights    []int       // descriptors, with close-on-exec, the receiver's to close
	Sender    *unix.Ucred // nil without SO_PASSCRED
	Truncated bool        // the message or its descriptors did not fit
}

// ControlBuffer has room for MaxRights descriptors and the credentials of the sender.
func ControlBuffer() []byte {
	return make([]byte, unix.CmsgSpace(MaxRights*4)+unix.CmsgSpace(unix.SizeofUcred))
}

// ReceiveRights reads one message and the descriptors that came with it: recvmsg(2). control is
// a ControlBuffer. Length is 0 when the other end of a connection is closed. flags may be
// MSG_DONTWAIT.
func ReceiveRights(fd int, message, control []byte, flags int) (Received, error) {
	var r Received
	var n, got int
	err := retry(func() (err error) {
		r.Length, n, got, _, err = unix.Recvmsg(fd, message, control, flags|unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return Received{}, wrap("recvmsg", "fd "+strconv.Itoa(fd), err)
	}
	r.Truncated = got&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0
	messages, err := unix.ParseSocketControlMessage(control[:n])
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			r.Rights = append(r.Rights, fds...)
		} else if sender, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			r.Sender = sender
		}
	}
	return r, wrap("recvmsg", "control message", err)
}

// Close is close(2) of descriptors nobody wants to hear about.
func Close(fds ...int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
