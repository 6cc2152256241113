// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// port is the first of the node's ports that are mapped to pods.
const port = 20000

// attacher is a runtime's way to attach pods.
type attacher interface {
	// add returns the address of the pod.
	add(ctx context.Context, p *pod) (string, error)
	del(ctx context.Context, p *pod) error
	close() error
}

// answer is what is said to a line of input. Times are in milliseconds.
type answer struct {
	Add       []float64
	Del       []float64
	Addresses []string
	Spaces    []string // paths of network namespaces
}

// attach reads commands until its input ends:
//
//	time N    N pods one after the other, each attached and detached
//	grow N M  N pods are attached, then M of them detached
//	pair      two pods are attached, and stay
func attach(args []string) error {
	open := openReference
	if len(args) > 0 && args[0] == "--inside" {
		open, args = openInside, args[1:]
	}
	if len(args) != 3 {
		return fmt.Errorf("want directories of plugins, of the configuration and for files, got %q", args)
	}
	a, err := open(args[0], args[1], args[2])
	if err != nil {
		return err
	}
	r := &runner{attacher: a}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && err == nil; {
		var said *answer
		if said, err = r.obey(lines.Text()); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(said)
		}
	}
	for _, p := range r.pods {
		err = errors.Join(err, r.detach(p, nil))
	}
	return errors.Join(err, a.close())
}

// runner has the pods that stay.
type runner struct {
	attacher attacher
	pods     []*pod
	made     int
}

func (r *runner) obey(line string) (*answer, error) {
	var n, m int
	if _, err := fmt.Sscanf(line, "time %d", &n); err == nil {
		return r.time(n)
	}
	if _, err := fmt.Sscanf(line, "grow %d %d", &n, &m); err == nil && m <= n {
		return r.grow(n, m)
	}
	if line == "pair" {
		return r.pair()
	}
	return nil, fmt.Errorf("unknown command %q", line)
}

func (r *runner) time(n int) (*answer, error) {
	said := &answer{}
	for range n {
		p, err := r.attach(said)
		if err != nil {
			return nil, err
		}
		if err := r.detach(p, said); err != nil {
			return nil, err
		}
	}
	return said, nil
}

// grow leaves what it does not detach to the end of the network namespace.
func (r *runner) grow(n, m int) (*answer, error) {
	said := &answer{}
	var pods []*pod
	for range n {
		p, err := r.attach(said)
		if err != nil {
			return nil, err
		}
		pods = append(pods, p)
	}
	for _, p := range pods[n-m:] {
		if err := r.detach(p, said); err != nil {
			return nil, err
		}
	}
	return said, nil
}

func (r *runner) pair() (*answer, error) {
	said := &answer{}
	for range 2 {
		p, err := r.attach(said)
		if err != nil {
			return nil, err
		}
		r.pods = append(r.pods, p)
		said.Spaces = append(said.Spaces, p.path())
	}
	return said, nil
}

// attach makes a pod, whose namespace is there before the time begins.
func (r *runner) attach(said *answer) (*pod, error) {
	p, err := newPod(r.made)
	if err != nil {
		return nil, err
	}
	r.made++
	began := time.Now()
	address, err := r.attacher.add(context.Background(), p)
	said.Add = append(said.Add, ms(time.Since(began)))
	said.Addresses = append(said.Addresses, address)
	if err != nil {
		return nil, fmt.Errorf("ADD: %w", err)
	}
	return p, nil
}

func (r *runner) detach(p *pod, said *answer) error {
	defer p.space.Close()
	began := time.Now()
	if err := r.attacher.del(context.Background(), p); err != nil {
		return fmt.Errorf("DEL: %w", err)
	}
	if said != nil {
		said.Del = append(said.Del, ms(time.Since(began)))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
