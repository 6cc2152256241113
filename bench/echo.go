// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// echo is the least that being asked something costs on this machine: CPU time
// of a thread for reading a byte from a socket and writing it back.
type echo struct {
	paced time.Duration // when it comes once in a while
	busy  time.Duration // when one follows the other
}

// measureEcho measures both for so long each.
func measureEcho(every, duration time.Duration) (e echo, err error) {
	say("an echo every %s", every)
	if e.paced, err = echoes(every, duration); err != nil {
		return e, err
	}
	e.busy, err = echoes(0, duration)
	return e, err
}

func echoes(every, duration time.Duration) (time.Duration, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("make a pair of sockets: %w", err)
	}
	defer unix.Close(pair[1])
	type answer struct {
		each time.Duration
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer unix.Close(pair[0])
		each, err := answerEchoes(pair[0])
		answers <- answer{each, err}
	}()
	askErr := askEchoes(pair[1], every, duration)
	_ = unix.Shutdown(pair[1], unix.SHUT_RDWR) // ends the other side
	got := <-answers
	if askErr != nil {
		return 0, askErr
	}
	return got.each, got.err
}

// askEchoes is the client.
func askEchoes(fd int, every, duration time.Duration) error {
	var buf [1]byte
	for began := time.Now(); time.Since(began) < duration; {
		if _, err := unix.Write(fd, buf[:]); err != nil {
			return fmt.Errorf("ask for an echo: %w", err)
		}
		if _, err := unix.Read(fd, buf[:]); err != nil {
			return fmt.Errorf("read an echo: %w", err)
		}
		if every > 0 {
			time.Sleep(every)
		}
	}
	return nil
}

// answerEchoes returns what each took of the calling thread's time, once the
// client has shut its side.
func answerEchoes(fd int) (time.Duration, error) {
	before, err := threadTime()
	if err != nil {
		return 0, err
	}
	var buf [1]byte
	for n := 0; ; n++ {
		got, err := unix.Read(fd, buf[:])
		if err != nil {
			return 0, fmt.Errorf("read what to echo: %w", err)
		}
		if got == 0 {
			after, err := threadTime()
			return (after - before) / time.Duration(max(n, 1)), err
		}
		if _, err := unix.Write(fd, buf[:]); err != nil {
			return 0, fmt.Errorf("echo: %w", err)
		}
	}
}

func threadTime() (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now)
	return time.Duration(now.Nano()), err
}
