// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// masterTitle is what nginx makes of its command line, which tests look for.
const masterTitle = "nginx: master process nginx"

// serveAsMaster serves the port of its argument, known to the world as nginx's
// master process: by its command line and by /var/run/nginx.pid.
func serveAsMaster(args []string) error {
	port := "80"
	if len(args) > 0 {
		port = args[0]
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(path, []string{masterTitle, port}, os.Environ())
}

// serveWeb answers every request on the port of its argument until it is told
// to end, and then ends at once.
func serveWeb(args []string) error {
	port := "80"
	if len(args) > 0 {
		port = args[0]
	}
	pid := strconv.Itoa(os.Getpid())
	if err := errors.Join(os.MkdirAll("/var/run", 0o755), os.WriteFile("/var/run/nginx.pid", []byte(pid+"\n"), 0o644)); err != nil {
		return err
	}
	fmt.Println("Command line:", filepath.Base(os.Args[0]), "port", port)
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	go serve(listener)
	<-ended()
	return listener.Close()
}

// serve ends with its listener. It speaks as much HTTP as clients of tests
// need; net/http would triple the size of the program.
func serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go hello(conn)
	}
}

func hello(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	request := bufio.NewScanner(conn)
	for request.Scan() && request.Text() != "" {
	}
	const body = "hello from the payload\n"
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

func ended() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	return c
}

// pause does nothing until it is told to end.
func pause([]string) error {
	<-ended()
	return nil
}
