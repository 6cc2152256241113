// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Panic is that of a function on another thread, handed to who waits for it.
type Panic struct {
	Value any
	Stack []byte // of the thread
}

// Error tells all there is, for a process that ends of it.
func (p *Panic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// OnThread calls f on an operating system thread that ends afterwards, so that f may
// change what belongs to a thread: namespaces, cgroups, working directory. It
// returns when f has, and panics with a *Panic when f has. It is never the process's first thread: that one cannot end, and
// /proc/self shows its namespaces for the whole process.
func OnThread(f func()) {
	done := make(chan *Panic, 1)
	go onThread(f, done)
	if p := <-done; p != nil {
		panic(p)
	}
}

func onThread(f func(), done chan<- *Panic) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() { // this thread is taken, so another one is used
		callOn(func() { OnThread(f) }, done)
		runtime.UnlockOSThread()
		return
	}
	callOn(f, done) // still locked afterwards: the thread ends with this goroutine
}

// callOn calls f and says when it is through, however that came about.
func callOn(f func(), done chan<- *Panic) {
	defer func() { done <- Recovered(recover()) }()
	f()
}

// Recovered makes a *Panic of what recover has returned; nil of nil. It is called by the function that recovers, since it notes the stack.
func Recovered(value any) *Panic {
	switch p := value.(type) {
	case nil:
		return nil
	case *Panic:
		return p
	}
	return &Panic{Value: value, Stack: debug.Stack()}
}
