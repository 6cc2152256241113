// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// node is a network namespace in which bench/podnet attaches pods, by plugins inside it or by the programs.
type node struct {
	program string
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	stderr  bytes.Buffer
	space   *os.File
	dir     string
}

// answer is what podnet says, see there.
type answer struct {
	Add, Del          []float64
	Addresses, Spaces []string
}

// startNode starts podnet with the plugins of a directory.
func startNode(ctx context.Context, program, plugins string, inside bool) (_ *node, err error) {
	n := &node{program: program}
	if n.dir, err = os.MkdirTemp("", "sardine-"); err != nil {
		return nil, err
	}
	net, err := newNetwork(n.dir, plugins, "", usual)
	if err != nil {
		return nil, err
	}
	args := []string{"attach"}
	if inside {
		args = append(args, "--inside")
	}
	n.cmd = exec.CommandContext(ctx, program, append(args, net.plugins, net.config, n.dir)...)
	n.cmd.Stderr = &n.stderr
	if n.orders, err = n.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.answers = bufio.NewReader(said)
	if err := inNewNetwork(n.cmd.Start); err != nil {
		return nil, err
	}
	n.space, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", n.cmd.Process.Pid))
	return n, err
}

// order has a command of podnet's obeyed.
func (n *node) order(format string, args ...any) (*answer, error) {
	command := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(n.orders, command); err != nil {
		return nil, n.failed(command, err)
	}
	line, err := n.answers.ReadBytes('\n')
	if err != nil {
		return nil, n.failed(command, err)
	}
	said := new(answer)
	return said, json.Unmarshal(line, said)
}

// failed ends podnet, to tell what it said.
func (n *node) failed(command string, err error) error {
	n.orders.Close()
	_ = n.cmd.Wait()
	return fmt.Errorf("podnet, %s: %w: %s", command, err, bytes.TrimSpace(n.stderr.Bytes()))
}

// stop has the pods that are there detached.
func (n *node) stop() error {
	n.orders.Close()
	defer os.RemoveAll(n.dir)
	defer n.space.Close()
	if err := n.cmd.Wait(); err != nil {
		return fmt.Errorf("podnet: %w: %s", err, bytes.TrimSpace(n.stderr.Bytes()))
	}
	return nil
}

// server is a podnet that serves.
type server struct{ cmd *exec.Cmd }

// serve starts a server in a network namespace and waits until it listens.
func (n *node) serve(ctx context.Context, space *os.File) (*server, error) {
	cmd := exec.CommandContext(ctx, n.program, "serve")
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := inNetworkOf(space, on(firstProcessor, cmd.Start)); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || line != "ready\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("server of podnet said %q: %w", line, err)
	}
	return &server{cmd}, nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
}

// talk returns what gets to a server in a second: bytes by tcp, answers by http.
func (n *node) talk(ctx context.Context, space *os.File, kind, address string, duration time.Duration) (float64, error) {
	cmd := exec.CommandContext(ctx, n.program, kind, address, duration.String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := inNetworkOf(space, on(lastProcessor, cmd.Start))
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return 0, fmt.Errorf("podnet %s %s: %w: %s", kind, address, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strconv.ParseFloat(strings.TrimSpace(stdout.String()), 64)
}

type processor int

const (
	firstProcessor processor = iota
	lastProcessor
)

// on makes start, which is called on a thread that ends afterwards, start a process that stays on one processor. Where the kernel moves
// both ends of a connection as it likes, the same measurement differs by twenty percent.
func on(which processor, start func() error) func() error {
	return func() error {
		var all, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			return fmt.Errorf("sched_getaffinity: %w", err)
		}
		for i, left := 0, all.Count(); left > 0; i++ {
			if !all.IsSet(i) {
				continue
			}
			left--
			if which == firstProcessor || left == 0 {
				one.Set(i)
				break
			}
		}
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return fmt.Errorf("sched_setaffinity: %w", err)
		}
		return start()
	}
}
