// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/nsdial"
	"github.com/sardine-run/sardine/internal/probe"
)

// probed is a container as probes see it: probe.Target.
type probed struct {
	*Container
	task *container.Container
}

var _ probe.Target = probed{}

// ID of the container.
func (p probed) ID() string { return p.Container.ID }

// Root is that of the main process.
func (p probed) Root() (*os.File, error) {
	root, err := p.task.OpenRoot()
	return root, ended(err)
}

// Alive looks at the main process.
func (p probed) Alive() error {
	err := p.task.Alive()
	if errdefs.IsFailedPrecondition(err) {
		return errors.New("the main process is frozen")
	}
	return ended(err)
}

// ended says of a process that is gone what the container's user calls it.
func ended(err error) error {
	if errdefs.IsNotFound(err) {
		return errors.New("the main process has ended")
	}
	return err
}

// Dial connects from inside the pod's network.
func (p probed) Dial(ctx context.Context, addresses ...netip.AddrPort) (net.Conn, error) {
	ns, err := p.manager.NetNS(p.Sandbox.ID)
	if err != nil {
		return nil, err
	}
	if ns != nil {
		defer ns.Close()
	}
	conn, err := nsdial.TCP(ctx, ns, net.Dialer{}, addresses...)
	if err != nil {
		return nil, err // not a nil *net.TCPConn
	}
	return conn, nil
}

// Volume opens the directory on the host of a volume that the kubelet has mounted in the container.
func (p probed) Volume(name string) (*os.File, error) {
	mounts, err := mountsOf(p.config)
	if err != nil {
		return nil, err
	}
	path, err := probe.FindVolume(mounts, name)
	if err != nil {
		return nil, err
	}
	volume, err := kernel.Open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("the directory of volume %s is gone", name)
	case errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("volume %s is mounted as a single file", name)
	}
	return volume, err
}

// mountsField is the number of mounts in runtime.ContainerConfig. It is looked up when it is needed: that decodes the description of all
// of CRI, which every start of the daemon, and every command of it, would wait for.
var mountsField = sync.OnceValue(func() protowire.Number {
	return (*runtime.ContainerConfig)(nil).ProtoReflect().Descriptor().Fields().ByName("mounts").Number()
})

// mountsOf decodes no more of a configuration than its mounts: with hundreds of variables in the environment the rest would take
// longer than the probe.
func mountsOf(config []byte) (mounts []probe.Mount, err error) {
	for len(config) > 0 {
		number, kind, size := protowire.ConsumeTag(config)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		value := config[size:]
		length := protowire.ConsumeFieldValue(number, kind, value)
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		config = value[length:]
		if number != mountsField() || kind != protowire.BytesType {
			continue
		}
		text, _ := protowire.ConsumeBytes(value)
		m := &runtime.Mount{}
		if err := proto.Unmarshal(text, m); err != nil {
			return nil, err
		}
		mounts = append(mounts, probe.Mount{Source: m.HostPath, Dir: m.HostPath})
	}
	return mounts, nil
}
