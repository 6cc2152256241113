// SPDX-License-Identifier: Apache-2.0

// Command payload is the static program that tests put in their images, for
// what a shell can't do or see from inside a container.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// commands are the words payload understands, and what they need after them.
var commands = map[string]struct {
	usage string
	run   func(args []string) error
}{
	"syscall":      {"NUMBER [ARGUMENT...]: make a system call, print \"ok\" or the name of its error", makeSyscall},
	"first-thread": {"CODE: end the first thread with 77, then, from another one, the process with CODE", endFirstThread},
	"memory":       {"MIB: touch so much memory, print \"done\" and wait", touchMemory},
	"ignore-term":  {": ignore SIGTERM, print \"ready\" and wait", ignoreTerm},
	"touch":        {"PATH EVERY LIFE: touch a file every so often, see there for how it stops", touch},
	"fork":         {": start copies of itself without end, print \"ready\" when there can be no more", forkForever},
	"talk":         {"PAGE SEED PACE VOICES LIFE STATUS TERM: print lines, see package talk", speakLines},
	"descriptors":  {": list the open descriptors, one a line", listDescriptors},
}

func main() {
	run, args := calledAs(), os.Args[1:]
	if run == nil {
		run, args = commanded(args)
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "payload:", err)
		os.Exit(1)
	}
}

// commanded returns what the first argument asks for, and the others.
func commanded(args []string) (func([]string) error, []string) {
	if len(args) < 1 {
		usage()
	}
	command, ok := commands[args[0]]
	if !ok {
		usage()
	}
	return command.run, args[1:]
}

func usage() {
	for name, c := range commands {
		fmt.Fprintf(os.Stderr, "payload %s %s\n", name, c.usage)
	}
	os.Exit(2)
}

func numbers(args []string) ([]uintptr, error) {
	out := make([]uintptr, len(args))
	for i, arg := range args {
		n, err := strconv.ParseUint(arg, 0, 64)
		if err != nil {
			return nil, err
		}
		out[i] = uintptr(n)
	}
	return out, nil
}

func makeSyscall(args []string) error {
	n, err := numbers(args)
	if err != nil || len(n) == 0 || len(n) > 7 {
		return fmt.Errorf("a number and up to six arguments, not %q", args)
	}
	var call [7]uintptr
	copy(call[:], n)
	_, _, errno := syscall.RawSyscall6(call[0], call[1], call[2], call[3], call[4], call[5], call[6])
	if errno != 0 {
		fmt.Println(errno.Error())
		return nil
	}
	fmt.Println("ok")
	return nil
}

func ignoreTerm([]string) error {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour) // waiting for nothing at all would be a deadlock to Go
	}
}

func touchMemory(args []string) error {
	n, err := numbers(args)
	if err != nil || len(n) != 1 {
		return fmt.Errorf("a number of MiB, not %q", args)
	}
	block := make([]byte, n[0]<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	fmt.Println("done")
	hold(block)
	return nil
}

// hold keeps memory reachable, and waits for a signal.
func hold(block []byte) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	<-c
	fmt.Println(len(block))
}

func listDescriptors([]string) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			fmt.Println(e.Name(), target)
		}
	}
	return nil
}
