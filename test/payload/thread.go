// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// init keeps the main goroutine on the first thread, for endFirstThread.
func init() { runtime.LockOSThread() }

// endFirstThread ends the thread-group leader by a bare exit(2), which ends
// only that thread, a while before the process itself: it is then a zombie
// whose status is not the one that counts.
func endFirstThread(args []string) error {
	n, err := numbers(args)
	if err != nil || len(n) != 1 {
		return fmt.Errorf("an exit code, not %q", args)
	}
	go func() {
		runtime.LockOSThread()
		time.Sleep(300 * time.Millisecond)
		os.Exit(int(n[0]))
	}()
	time.Sleep(100 * time.Millisecond) // until the other thread is there
	_, _, errno := syscall.RawSyscall(syscall.SYS_EXIT, 77, 0, 0)
	return errno
}
