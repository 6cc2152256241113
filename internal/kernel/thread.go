// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnThread calls f on an operating system thread that ends afterwards, so that f may
// change what belongs to a thread: namespaces, cgroups, working directory. It
// returns when f has. It is never the process's first thread: that one cannot end, and
// /proc/self shows its namespaces for the whole process.
func OnThread(f func()) {
	done := make(chan struct{})
	go onThread(f, done)
	<-done
}

func onThread(f func(), done chan<- struct{}) {
	defer close(done)
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return // still locked: the thread ends with this goroutine
	}
	OnThread(f) // this thread is taken, so another one is used
	runtime.UnlockOSThread()
}
