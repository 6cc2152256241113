// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	// ownFDs are the descriptors that a holder may need for itself.
	ownFDs = 64
	// answerPatience bounds the wait for a daemon that does not read its answer.
	answerPatience = 2 * time.Second
	// firstPatience bounds the wait for the daemon that started this holder to speak to it.
	firstPatience = 20 * time.Second
)

// holder keeps descriptors. All of it is done by one thread.
type holder struct {
	path   string // of the socket
	inode  uint64 // of the socket's file
	watch  int    // becomes readable when that may be gone; -1 without inotify
	daemon int    // hangs up when the daemon ends; -1: there is none
	max    int
	count  int
	held   map[string][]int32
}

func newHolder(dir string) (*holder, error) {
	h := &holder{path: dir + "/" + SocketName, daemon: -1, held: map[string][]int32{}}
	var err error
	// Before the file is looked at, so that no removal is missed.
	if h.watch, err = kernel.WatchUnlink(h.path); err != nil {
		h.watch = -1
	}
	if h.inode, err = inode(h.path); err != nil {
		return nil, err
	}
	// Go has raised the soft limit to the hard one.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	h.max = int(min(limit.Cur, 1<<20)) - ownFDs
	return h, nil
}

// serve returns when this holder is no longer of use to anybody.
func (h *holder) serve() {
	message, control := make([]byte, maxMessage), kernel.ControlBuffer()
	for {
		fds := []unix.PollFd{
			{Fd: socketFD, Events: unix.POLLIN}, {Fd: int32(h.watch), Events: unix.POLLIN}, {Fd: int32(h.daemon)},
		}
		n, err := unix.Poll(fds, h.patience())
		if err != nil {
			continue // EINTR
		}
		if fds[1].Revents != 0 && h.unreachable() {
			return
		}
		if fds[2].Revents != 0 {
			kernel.Close(h.daemon)
			h.daemon = -1
		}
		// What a daemon sent before it ended is in the queue by now, and perhaps what the next one sent.
		if err := h.receive(message, control); err != nil {
			return
		}
		if h.daemon < 0 && h.count == 0 && (n == 0 || fds[2].Revents != 0) {
			h.unlink()
			return
		}
	}
}

// patience is what poll(2) may wait, in milliseconds.
func (h *holder) patience() int {
	if h.daemon < 0 && h.count == 0 {
		return int(firstPatience / time.Millisecond)
	}
	return -1
}

// receive deals with all messages that there are.
func (h *holder) receive(message, control []byte) error {
	for {
		r, err := kernel.ReceiveRights(socketFD, message, control, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		h.take(message[:r.Length], &r)
	}
}

// unlink removes the socket's file. With the lock of the directory nobody else makes it; but the
// directory may be another one by now.
func (h *holder) unlink() {
	if now, err := inode(h.path); err == nil && now == h.inode {
		_ = unix.Unlink(h.path)
	}
}

// unreachable reports that the socket's file is gone. No daemon will find this holder, and another
// one may be on its way.
func (h *holder) unreachable() bool {
	var events [4096]byte
	_, _ = unix.Read(h.watch, events[:])
	now, err := inode(h.path)
	return err != nil || now != h.inode
}

// inode of the file that path leads to. The kernel tells of the end of a file's last name a moment before
// nobody finds it any more; the number of its names is 0 by then.
func inode(path string) (uint64, error) {
	var stat unix.Stat_t
	err := unix.Lstat(path, &stat)
	if err == nil && stat.Nlink == 0 {
		err = unix.ENOENT
	}
	return stat.Ino, err
}

// take does what a message says. Descriptors that are not kept are closed.
func (h *holder) take(datagram []byte, r *kernel.Received) {
	m, err := Parse(datagram)
	switch {
	case r.Sender == nil || int(r.Sender.Uid) != os.Geteuid(), r.Truncated, err != nil:
	case m.Order == Store && len(r.Rights) > 0 && h.count+len(r.Rights) <= h.max:
		h.add(m.Name, r.Rights)
		return
	case m.Order == Remove:
		h.remove(m.Name)
	case m.Order == List && len(r.Rights) == 1:
		if h.daemon >= 0 {
			kernel.Close(h.daemon)
		}
		h.daemon = r.Rights[0]
		_ = h.list(h.daemon) // who asked notices, and asks again
		return
	}
	kernel.Close(r.Rights...)
}

func (h *holder) add(name string, fds []int) {
	held := slices.Grow(h.held[name], len(fds))
	for _, fd := range fds {
		held = append(held, int32(fd))
	}
	h.held[name] = held
	h.count += len(fds)
}

func (h *holder) remove(name string) {
	for _, fd := range h.held[name] {
		kernel.Close(int(fd))
	}
	h.count -= len(h.held[name])
	delete(h.held, name)
}

// list answers on socket.
func (h *holder) list(socket int) error {
	if err := kernel.SetSendTimeout(socket, answerPatience); err != nil {
		return err
	}
	hello := Reply{Version: Version, PID: os.Getpid(), Max: h.max}
	if err := kernel.SendRights(socket, hello.Encode(), nil, 0); err != nil {
		return err
	}
	var batch Reply
	var fds []int
	send := func() error {
		err := kernel.SendRights(socket, batch.Encode(), fds, 0)
		batch.Names, fds = batch.Names[:0], fds[:0]
		return err
	}
	for name, held := range h.held {
		for _, fd := range held {
			batch.Names, fds = append(batch.Names, name), append(fds, int(fd))
			if len(fds) == kernel.MaxRights {
				if err := send(); err != nil {
					return err
				}
			}
		}
	}
	batch.Done = true
	return send()
}
