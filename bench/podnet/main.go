// SPDX-License-Identifier: Apache-2.0

// Command podnet attaches namespaces to a network as a daemon attaches pods, and measures that, and what goes through the network then.
// It is for bench: attach does, in the network namespace where it runs, what it is told by lines of its input, and answers each with a line of
// JSON; serve and the others are the two ends of a connection.
//
//	podnet attach [--inside] PLUGINS CONFIGURATION DIRECTORY
//	podnet serve
//	podnet tcp ADDRESS DURATION     bytes per second into one connection
//	podnet http ADDRESS DURATION    requests per second, by four connections
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "podnet:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("want a command")
	}
	switch args[0] {
	case "attach":
		return attach(args[1:])
	case "serve":
		return serve()
	case "tcp", "http":
		return talk(args)
	}
	return fmt.Errorf("unknown command %q", args[0])
}
