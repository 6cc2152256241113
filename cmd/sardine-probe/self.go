// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/nsdial"
	"github.com/sardine-run/sardine/internal/probe"
)

// self is the process as what it probes: it is in the container.
type self struct{}

var _ probe.Target = self{}

func (self) ID() string { return "self" }

func (self) Root() (*os.File, error) { return kernel.Open("/", unix.O_PATH|unix.O_DIRECTORY, 0) }

func (self) Volume(name string) (*os.File, error) {
	infos, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("volume %s: the container's mounts cannot be read: %w", name, err)
	}
	mounts := make([]probe.Mount, len(infos))
	for i, m := range infos {
		mounts[i] = probe.Mount{Source: m.Root, Dir: m.Mountpoint}
	}
	dir, err := probe.FindVolume(mounts, name)
	if err != nil {
		return nil, fmt.Errorf("%w (from inside only volumes that are no file system of their own can be told)", err)
	}
	return kernel.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func (self) Dial(ctx context.Context, addresses ...netip.AddrPort) (net.Conn, error) {
	conn, err := nsdial.TCP(ctx, nil, net.Dialer{}, addresses...)
	if err != nil {
		return nil, err // not a nil *net.TCPConn
	}
	return conn, nil
}

// Alive looks at the process that the container was started with, unless the pod shares its pid namespace.
func (self) Alive() error {
	stat, err := kernel.ReadProcStat(1)
	if err != nil {
		return fmt.Errorf("process 1 cannot be seen: %w", err)
	}
	if stat.Zombie() {
		return errors.New("process 1 has ended")
	}
	return nil
}
