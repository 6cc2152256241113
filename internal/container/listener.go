// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// passListener sends a seccomp listener to the agent that the spec names, with the state
// of the process: config-linux.md, "The Container Process State". It closes listener.
func (c *Container) passListener(ctx context.Context, spec *specs.Spec, pid int, listener *os.File) error {
	defer listener.Close()
	if spec.Linux == nil || spec.Linux.Seccomp == nil || spec.Linux.Seccomp.ListenerPath == "" {
		return fmt.Errorf("linux.seccomp.listenerPath: is missing: %w", errdefs.ErrInvalidArgument)
	}
	state, err := json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid,
		Metadata: spec.Linux.Seccomp.ListenerMetadata,
		State:    c.hookState(spec, specs.StateCreating, c.Pid()),
	})
	if err == nil {
		err = sendDescriptor(ctx, spec.Linux.Seccomp.ListenerPath, state, listener)
	}
	if err != nil {
		return fmt.Errorf("linux.seccomp.listenerPath: %w", err)
	}
	return nil
}

func sendDescriptor(ctx context.Context, path string, message []byte, f *os.File) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, _, err = conn.(*net.UnixConn).WriteMsgUnix(message, unix.UnixRights(int(f.Fd())), nil)
	return err
}
