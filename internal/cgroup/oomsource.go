// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/sardine-run/sardine/internal/kernel"
	"golang.org/x/sys/unix"
)

// poller reads a descriptor through the Go runtime's own poller, so that waiting
// costs no thread and close wakes the waiter.
type poller struct{ file *os.File }

func newPoller(fd int, name string) (poller, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return poller{}, fmt.Errorf("%s: %w", name, err)
	}
	return poller{os.NewFile(uintptr(fd), name)}, nil
}

// read calls f with the descriptor each time it may be ready, until f is true.
func (p poller) read(deadline time.Time, f func(fd int) bool) error {
	if err := p.file.SetReadDeadline(deadline); err != nil {
		return err
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool { return f(int(fd)) })
}

func (p poller) control(f func(fd int) error) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := conn.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

func (p poller) close() error { return p.file.Close() }

// eventfdSource: cgroup v1 writes to an eventfd registered in cgroup.event_control when
// the memory cgroup, or one above it, is out of memory (memory.rst, "OOM Control").
// One epoll descriptor collects the eventfds.
type eventfdSource struct{ poller }

func newEventfdSource() (oomSource, error) {
	fd, err := kernel.EpollCreate()
	if err != nil {
		return nil, err
	}
	p, err := newPoller(fd, "epoll")
	return &eventfdSource{p}, err
}

func (s *eventfdSource) add(c *Cgroup, key int32) (int32, int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return 0, -1, fmt.Errorf("eventfd: %w", err)
	}
	if err := s.register(c, key, fd); err != nil {
		unix.Close(fd)
		return 0, -1, err
	}
	return key, fd, nil
}

func (s *eventfdSource) register(c *Cgroup, key int32, fd int) error {
	h := c.host.v1Of("memory")
	// The kernel takes its own reference, so the file need not stay open.
	control, err := h.open(c.path+"/memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(control)
	if err := h.write(c.path+"/cgroup.event_control", fmt.Sprintf("%d %d", fd, control)); err != nil {
		return err
	}
	return s.control(func(epoll int) error {
		// The descriptor's number may be reused while an event is under way; a key is not.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: key}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
		return nil
	})
}

// remove closes the last descriptor of the eventfd, which takes it out of the epoll set
// and the kernel's registration with it.
func (s *eventfdSource) remove(w *oomWatch) { unix.Close(w.fd) }

func (s *eventfdSource) wait(deadline time.Time) (keys []int32, err error) {
	var tokens []uint64
	rerr := s.read(deadline, func(fd int) bool {
		tokens, err = kernel.EpollPoll(fd, nil, 64)
		return err != nil || len(tokens) > 0
	})
	if err == nil {
		err = rerr
	}
	for _, token := range tokens {
		keys = append(keys, int32(token))
	}
	return keys, err
}

// inotifySource: cgroup v2 modifies memory.events when a counter in it changes
// (cgroup-v2.rst, "[Un]populated Notification" explains the mechanism).
type inotifySource struct{ poller }

func newInotifySource() (oomSource, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify_init1: %w", err)
	}
	p, err := newPoller(fd, "inotify")
	return &inotifySource{p}, err
}

func (s *inotifySource) add(c *Cgroup, key int32) (int32, int, error) {
	name := c.host.unified.path(c.path + "/memory.events")
	if !c.host.unified.exists(c.path + "/memory.events") {
		return -key, -1, nil // no memory controller: a key that no event will carry
	}
	err := s.control(func(inotify int) error {
		wd, err := unix.InotifyAddWatch(inotify, name, unix.IN_MODIFY)
		key = int32(wd)
		return pathError("inotify_add_watch", name, err)
	})
	return key, -1, err
}

func (s *inotifySource) remove(w *oomWatch) {
	_ = s.control(func(inotify int) error {
		_, err := unix.InotifyRmWatch(inotify, uint32(w.key))
		return err
	})
}

func (s *inotifySource) wait(deadline time.Time) (keys []int32, err error) {
	buf := make([]byte, 64*unix.SizeofInotifyEvent)
	var n int
	rerr := s.read(deadline, func(fd int) bool {
		n, err = ignoringEINTR(func() (int, error) { return unix.Read(fd, buf) })
		return !errors.Is(err, unix.EAGAIN)
	})
	if err == nil {
		err = rerr
	}
	return inotifyKeys(buf[:max(n, 0)]), err
}

// inotifyKeys takes the watch descriptors out of struct inotify_event records.
func inotifyKeys(buf []byte) (keys []int32) {
	const lenAt = unsafe.Offsetof(unix.InotifyEvent{}.Len)
	for len(buf) >= unix.SizeofInotifyEvent {
		keys = append(keys, int32(binary.NativeEndian.Uint32(buf)))
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[lenAt:]))
		buf = buf[min(size, len(buf)):]
	}
	return keys
}
