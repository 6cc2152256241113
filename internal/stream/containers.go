// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"os"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/probe"
)

// Containers finds what a session is with. The ids are as the client gave them.
type Containers interface {
	// Running returns the container id. ErrNotFound when there is none,
	// ErrFailedPrecondition when it does not run.
	Running(id string) (Container, error)
	// NetNS returns a descriptor, to be closed by the caller, of the network namespace of the pod
	// sandbox id; nil when that is the host's. ErrNotFound when there is no such sandbox,
	// ErrFailedPrecondition when it is not ready.
	NetNS(id string) (*os.File, error)
}

// Container is one that runs.
type Container struct {
	Task *container.Container
	// Log is what it prints; nil when nobody can attach to it.
	Log podlog.Log
	// StdinOnce closes its standard input when the first client that was attached to it goes.
	StdinOnce bool
	// Target is it for probes.
	Target probe.Target
}
