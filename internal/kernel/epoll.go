// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// EpollCreate returns a new epoll descriptor: epoll_create1(2).
func EpollCreate() (int, error) {
	fd, err := retryFD(func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) })
	return fd, wrap("epoll_create1", "", err)
}

// EpollAdd watches fd until it was readable once; then EpollPoll gives token:
// epoll_ctl(2) with EPOLLONESHOT.
func EpollAdd(epoll, fd int, token uint64) error {
	return epollCtl(epoll, unix.EPOLL_CTL_ADD, fd, epollEvent(unix.EPOLLIN|unix.EPOLLONESHOT, token))
}

// EpollEdge watches fd for good: EpollPoll gives token once for every event that makes it readable, those included that find
// it readable: epoll(7), EPOLLET.
func EpollEdge(epoll, fd int, token uint64) error {
	return epollCtl(epoll, unix.EPOLL_CTL_ADD, fd, epollEvent(unix.EPOLLIN|unix.EPOLLET, token))
}

// EpollRearm watches fd, which EpollAdd knows, until it is readable once more, which may be now.
func EpollRearm(epoll, fd int, token uint64) error {
	return epollCtl(epoll, unix.EPOLL_CTL_MOD, fd, epollEvent(unix.EPOLLIN|unix.EPOLLONESHOT, token))
}

// EpollKeep watches fd for good: every EpollWait gives token while it is readable.
func EpollKeep(epoll, fd int, token uint64) error {
	return epollCtl(epoll, unix.EPOLL_CTL_ADD, fd, epollEvent(unix.EPOLLIN, token))
}

func epollEvent(events uint32, token uint64) *unix.EpollEvent {
	// Fd and Pad are the two halves of epoll_data.
	return &unix.EpollEvent{Events: events, Fd: int32(token), Pad: int32(token >> 32)}
}

func epollToken(event unix.EpollEvent) uint64 {
	return uint64(uint32(event.Fd)) | uint64(uint32(event.Pad))<<32
}

// EpollRemove ends the watch of fd. Closing fd does so only if it was the last descriptor
// of its open file description.
func EpollRemove(epoll, fd int) error { return epollCtl(epoll, unix.EPOLL_CTL_DEL, fd, nil) }

func epollCtl(epoll, op, fd int, event *unix.EpollEvent) error {
	err := retry(func() error { return unix.EpollCtl(epoll, op, fd, event) })
	if err == nil {
		return nil // before there is a string to be made
	}
	return wrap("epoll_ctl", "fd "+strconv.Itoa(fd), err)
}

// EpollPoll appends to tokens those of at most max descriptors that are readable now. It
// does not block: epoll_wait(2) with a timeout of 0.
func EpollPoll(epoll int, tokens []uint64, max int) ([]uint64, error) {
	events := make([]unix.EpollEvent, max)
	n, err := retryFD(func() (int, error) { return unix.EpollWait(epoll, events, 0) })
	if err != nil {
		return tokens, wrap("epoll_wait", "", err)
	}
	for _, event := range events[:n] {
		tokens = append(tokens, epollToken(event))
	}
	return tokens, nil
}

// EpollWait waits, on an OS thread of its own meanwhile, until something watched is readable
// or hung up, and returns its token: epoll_wait(2) for one event.
func EpollWait(epoll int) (token uint64, hungUp bool, err error) {
	var events [1]unix.EpollEvent
	_, err = retryFD(func() (int, error) { return unix.EpollWait(epoll, events[:], -1) })
	if err != nil {
		return 0, false, wrap("epoll_wait", "", err)
	}
	return epollToken(events[0]), events[0].Events&unix.EPOLLHUP != 0, nil
}
