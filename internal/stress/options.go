// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"fmt"
	"strings"
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
	Command     string        // what they execute, words between spaces; empty: true
	Hold        int           // instead: start so many containers or pods, measure the node, delete them
	Idle        time.Duration // how long the daemon's CPU time is measured while they are held; 0 for not at all
	Stop        int           // instead: start so many pods, time stopping them on all workers, remove them
	Probe       int           // instead: start so many pods, time Execs in each, or as many as Duration allows, remove them
	Every       time.Duration // with Probe: each pod has a client of its own, which execs so often; 0: the workers do, without a pause
	Library     bool          // through the client library's containers, not one call per step

	CRI     bool   // Address is a CRI socket, and pods of one container live instead of containers
	Network string // of pods: NetworkHost or NetworkCNI
	Handler string // runtime handler of pods, empty for the default one
	Port    int    // of the node, the first of those that are mapped to pods, one to each; 0: none

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
	case o.Port != 0 && (o.Port < 1 || o.Port > maxPort-portRange || !o.CRI || o.Network != NetworkCNI):
		return invalid("port is %d: it goes with cri and network %s, and is at most %d", o.Port, NetworkCNI, maxPort-portRange)
	case o.CRI && o.Library:
		return invalid("library is for containers; it goes without cri")
	case !o.CRI && o.Namespace == "":
		return invalid("the namespace is empty")
	case !o.CRI && o.Runtime == "":
		return invalid("the runtime name is empty")
	case o.Concurrency < 1:
		return invalid("concurrency is %d, at least 1 worker is needed", o.Concurrency)
	case o.Count < 0 || o.Execs < 0 || o.Hold < 0 || o.Stop < 0 || o.Probe < 0 || o.Idle < 0 || o.Every < 0:
		return invalid("count, exec, hold, stop, probe, idle and every cannot be negative")
	case o.needsDuration() && o.Duration <= 0:
		return invalid("duration is %s; give a duration, a count or a number to hold, stop or exec", o.Duration)
	case o.Timeout <= 0:
		return invalid("timeout is %s, it must be positive", o.Timeout)
	case o.MaxErrors < 1:
		return invalid("max-errors is %d, it must be at least 1", o.MaxErrors)
	}
	return o.validateWorkload()
}

// needsDuration says whether nothing else ends the run.
func (o Options) needsDuration() bool {
	if o.Probe > 0 {
		return o.Execs == 0
	}
	return o.Count == 0 && o.Hold == 0 && o.Stop == 0
}

// validateWorkload reports options of different workloads in one run.
func (o Options) validateWorkload() error {
	switch {
	case o.Hold > 0 && (o.Count > 0 || o.Execs > 0):
		return invalid("hold is a workload of its own; it goes without count and exec")
	case o.Hold == 0 && o.Idle > 0:
		return invalid("idle is for what is held; it goes with hold")
	case o.Stop > 0 && (o.Count > 0 || o.Execs > 0 || o.Hold > 0 || o.Probe > 0):
		return invalid("stop is a workload of its own; it goes without count, exec, hold and probe")
	case o.Probe > 0 && (o.Count > 0 || o.Hold > 0):
		return invalid("probe is a workload of its own; it goes without count and hold")
	case !o.CRI && (o.Stop > 0 || o.Probe > 0):
		return invalid("stop and probe are for pods; they go with cri")
	case o.Probe == 0 && o.Every > 0:
		return invalid("every is for probes; it goes with probe")
	case o.Every > 0 && o.Concurrency > 1:
		return invalid("with every, each pod has a client of its own; it goes without concurrency")
	case o.Command != "" && o.Execs == 0 && o.Probe == 0:
		return invalid("command is what exec and probe execute; it goes with one of them")
	}
	return nil
}

// command is what is executed, in words.
func (o Options) command() []string {
	if words := strings.Fields(o.Command); len(words) > 0 {
		return words
	}
	if o.CRI {
		return []string{"/bin/true"}
	}
	return []string{"true"}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errdefs.ErrInvalidArgument)...)
}
