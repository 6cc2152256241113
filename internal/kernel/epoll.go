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
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	event.Fd, event.Pad = int32(token), int32(token>>32) // the two halves of epoll_data
	return epollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event)
}

// EpollRemove ends the watch of fd. Closing fd does so only if it was the last descriptor
// of its open file description.
func EpollRemove(epoll, fd int) error { return epollCtl(epoll, unix.EPOLL_CTL_DEL, fd, nil) }

func epollCtl(epoll, op, fd int, event *unix.EpollEvent) error {
	err := retry(func() error { return unix.EpollCtl(epoll, op, fd, event) })
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
		tokens = append(tokens, uint64(uint32(event.Fd))|uint64(uint32(event.Pad))<<32)
	}
	return tokens, nil
}
