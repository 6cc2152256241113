// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Ports on which serve listens.
const (
	sinkPort = "7001" // what comes is thrown away
	webPort  = "7002"
)

// connections is how many clients ask for pages at the same time.
const connections = 4

// page is the size of an answer, in bytes.
const page = 1 << 10

// serve says ready and serves until it is killed.
func serve() error {
	sink, err := net.Listen("tcp", ":"+sinkPort)
	if err != nil {
		return err
	}
	web, err := net.Listen("tcp", ":"+webPort)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var both errgroup.Group
	both.Go(func() error {
		for {
			conn, err := sink.Accept()
			if err != nil {
				return err
			}
			go drain(conn)
		}
	})
	both.Go(func() error {
		body := make([]byte, page)
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(body) // who does not take it has gone
		})}
		return server.Serve(web)
	})
	return both.Wait()
}

// drain reads what comes, until the other side ends, and says so.
func drain(conn net.Conn) {
	defer conn.Close()
	piece := make([]byte, 256<<10)
	for {
		if _, err := conn.Read(piece); err != nil {
			return
		}
	}
}

// talk prints how much got through in a second.
func talk(args []string) error {
	if len(args) != 3 {
		return errors.New("want an address and a duration")
	}
	duration, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	var n float64
	began := time.Now()
	if args[0] == "tcp" {
		n, err = send(args[1], duration)
	} else {
		n, err = ask(args[1], duration)
	}
	if err != nil {
		return err
	}
	fmt.Println(n / time.Since(began).Seconds())
	return nil
}

// send returns how many bytes the server has read by the time it knows of the end.
func send(address string, duration time.Duration) (n float64, err error) {
	conn, err := net.Dial("tcp", net.JoinHostPort(address, sinkPort))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	piece := make([]byte, 256<<10)
	for began := time.Now(); time.Since(began) < duration; {
		sent, err := conn.Write(piece)
		if n += float64(sent); err != nil {
			return 0, err
		}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, conn)
	return n, err
}

// ask returns the number of answers.
func ask(address string, duration time.Duration) (float64, error) {
	url := "http://" + net.JoinHostPort(address, webPort) + "/"
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	var answers atomic.Int64
	var clients errgroup.Group
	for range connections {
		clients.Go(func() error {
			for began := time.Now(); time.Since(began) < duration; answers.Add(1) {
				if err := get(client, url); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := clients.Wait()
	return float64(answers.Load()), err
}

func get(client *http.Client, url string) error {
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || n != page) {
		err = fmt.Errorf("status %s, %d bytes", answer.Status, n)
	}
	return err
}
