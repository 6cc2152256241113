// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
)

// DefaultRuntime is the name of Sardine's in-process runtime.
const DefaultRuntime = "io.containerd.sardine.v1"

// Networks of pods.
const (
	NetworkHost = "host" // the node's
	NetworkCNI  = "cni"  // one of their own, attached by the configured plugins
)

// Options say what to drive and how hard.
type Options struct {
	Address     string
	Namespace   string
	Runtime     string // runtime name, for example io.containerd.runc.v2
	Snapshotter string // empty: overlayfs where it works, otherwise native
	Image       string // empty: the tiny image, imported for the run

	Concurrency int           // workers
	Duration    time.Duration // how long; used when Count is zero
	Count       int           // how many containers in all, whatever it takes
	Execs       int           // processes to exec in each container
	Hold        int           // instead: start so many containers, measure the node, delete them
	Library     bool          // through the client library's containers, not one call per step

	CRI     bool   // Address is a CRI socket, and pods of one container live instead of containers
	Network string // of pods: NetworkHost or NetworkCNI
	Handler string // runtime handler of pods, empty for the default one

	Timeout   time.Duration // for the life of one container
	MaxErrors int           // stop the run after so many
}

// Validate reports the first option that makes no sense.
func (o Options) Validate() error {
	switch {
	case o.Address == "":
		return invalid("the address of the daemon is empty")
	case o.CRI && o.Network != NetworkHost && o.Network != NetworkCNI:
		return invalid("network is %q, pods have %q or %q", o.Network, NetworkHost, NetworkCNI)
	case o.CRI && (o.Hold > 0 || o.Library):
		return invalid("hold and library are for containers; they go without cri")
	case !o.CRI && o.Namespace == "":
		return invalid("the namespace is empty")
	case !o.CRI && o.Runtime == "":
		return invalid("the runtime name is empty")
	case o.Concurrency < 1:
		return invalid("concurrency is %d, at least 1 worker is needed", o.Concurrency)
	case o.Count < 0 || o.Execs < 0 || o.Hold < 0:
		return invalid("count, exec and hold cannot be negative")
	case o.Count == 0 && o.Hold == 0 && o.Duration <= 0:
		return invalid("duration is %s; give a duration, a count or a number to hold", o.Duration)
	case o.Hold > 0 && (o.Count > 0 || o.Execs > 0):
		return invalid("hold is a workload of its own; it goes without count and exec")
	case o.Timeout <= 0:
		return invalid("timeout is %s, it must be positive", o.Timeout)
	case o.MaxErrors < 1:
		return invalid("max-errors is %d, it must be at least 1", o.MaxErrors)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errdefs.ErrInvalidArgument)...)
}
