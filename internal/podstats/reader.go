// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
)

// Process is what runs in a container. *container.Container implements it.
type Process interface {
	Usage(cgroup.Detail) (*cgroup.Usage, error)
	Pids() ([]container.Process, error)
	Pid() int
}

// Container is one container to report about.
type Container struct {
	Attributes *runtime.ContainerAttributes
	Image      string  // the reference the user gave
	Process    Process // nil when it does not run: then only the writable layer is reported
	StartedAt  time.Time
	Resources  *runtime.LinuxContainerResources // as last set; may be nil

	// Layer is the directory of the writable layer, "" for a read-only root file system, and
	// LayerMount the mount point that ImageFsInfo reports for where it lies.
	Layer, LayerMount string
	History           *History
}

// Pod is one pod to report about.
type Pod struct {
	Attributes *runtime.PodSandboxAttributes
	Containers []*Container
	// CgroupParent is the path of the pod's cgroup, or with the systemd driver the name of its
	// slice. When it is empty, or gone, the pod uses what its containers do.
	CgroupParent string
	// NetNS is the pod's network namespace, nil for the host's: the host's interfaces are not
	// the pod's use.
	NetNS   *os.File
	History *History
}

// History is what must be remembered between two reports. Its owner keeps one, made by new, for as
// long as the container or pod exists. It may be used concurrently.
type History struct {
	mu    sync.Mutex
	cpu   rate
	layer layer
}

// Reader reads. It holds nothing.
type Reader struct {
	Cgroups *cgroup.Host
}

// Container reports about one container. What cannot be read is missing from the report, and in err.
func (r *Reader) Container(c *Container) (*runtime.ContainerStats, error) {
	u, err := usage(c, cgroup.Summary)
	return containerStats(c, u, time.Now().Add(layerBudget)), err
}

// Containers reports about each, in the same order. Trouble with one is logged.
func (r *Reader) Containers(ctx context.Context, containers []*Container) []*runtime.ContainerStats {
	deadline := time.Now().Add(layerBudget)
	walkOldestFirst(containers, deadline)
	list := make([]*runtime.ContainerStats, len(containers))
	for i, c := range containers {
		list[i] = containerStats(c, logged(ctx, c), deadline)
	}
	return list
}

func logged(ctx context.Context, c *Container) *cgroup.Usage {
	u, err := usage(c, cgroup.Summary)
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", c.Attributes.GetId()).Warn("resource use cannot be read in full")
	}
	return u
}

// usage is nil for a container that does not run, and for one that has ended just now.
func usage(c *Container, d cgroup.Detail) (*cgroup.Usage, error) {
	if c.Process == nil {
		return nil, nil
	}
	u, err := c.Process.Usage(d)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	return u, err
}

func containerStats(c *Container, u *cgroup.Usage, deadline time.Time) *runtime.ContainerStats {
	s := &runtime.ContainerStats{Attributes: c.Attributes, WritableLayer: layerUsage(c, deadline)}
	if u != nil {
		s.Cpu = cpuUsage(u, c.History)
		s.Memory = memoryUsage(u)
		s.Swap = swapUsage(u)
		s.Io = ioUsage(u)
	}
	return s
}
