// SPDX-License-Identifier: Apache-2.0

// Command testserver is what probes ask in containers of tests: servers that are well or ill, slow or endless. It is a program of
// its own because gRPC would make the payload, which is in every image, five times as big.
//
//	testserver KIND ADDRESS [KIND ADDRESS]...
//
// KIND is http, https, grpc (its health service) or tcp (accepts and says nothing). All of them are ill as long as there is a file /tmp/ill.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// illness is the file that makes the servers say that they are ill.
const illness = "/tmp/ill"

func ill() bool {
	_, err := os.Stat(illness)
	return err == nil
}

var kinds = map[string]func(net.Listener) error{"http": serveHTTP, "https": serveHTTPS, "grpc": serveGRPC, "tcp": serveTCP}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		os.Exit(1)
	}
}

// run serves until one of the servers fails or the program is told to end.
func run(args []string) error {
	if len(args) == 0 || len(args)%2 != 0 {
		return fmt.Errorf("want pairs of KIND and ADDRESS, not %q", args)
	}
	ended := make(chan error, len(args))
	for ; len(args) > 0; args = args[2:] {
		serve, ok := kinds[args[0]]
		if !ok {
			return fmt.Errorf("unknown kind %q", args[0])
		}
		listener, err := net.Listen("tcp", args[1])
		if err != nil {
			return err
		}
		go func() { ended <- serve(listener) }()
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	select {
	case <-told:
		return nil
	case err := <-ended:
		return errors.Join(errors.New("a server has ended"), err)
	}
}

// serveTCP keeps connections and says nothing, until the other side ends them.
func serveTCP(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(io.Discard, conn)
		}()
	}
}
