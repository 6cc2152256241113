// SPDX-License-Identifier: Apache-2.0

package task

import (
	events "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/protobuf"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// notify publishes an event of a container as containerd's shim would.
func (r *Runtime) notify(e container.Event) {
	if event := translate(e); event != nil {
		r.publisher.publish(e.Container.Namespace(), event)
	}
}

func translate(e container.Event) any {
	id, pid := e.Container.ID(), uint32(e.Pid)
	switch e.Kind {
	case container.ContainerCreated:
		return created(e)
	case container.ContainerStarted:
		return &events.TaskStart{ContainerID: id, Pid: pid}
	case container.ContainerPaused:
		return &events.TaskPaused{ContainerID: id}
	case container.ContainerResumed:
		return &events.TaskResumed{ContainerID: id}
	case container.ContainerDeleted:
		return &events.TaskDelete{ContainerID: id, Pid: pid, ExitStatus: e.Exit.Status, ExitedAt: protobuf.ToTimestamp(e.Exit.At)}
	case container.ExecAdded:
		return &events.TaskExecAdded{ContainerID: id, ExecID: e.ExecID}
	case container.ExecStarted:
		return &events.TaskExecStarted{ContainerID: id, ExecID: e.ExecID, Pid: pid}
	case container.ProcessExited:
		return exited(e)
	case container.OOMKilled:
		return &events.TaskOOM{ContainerID: id}
	}
	return nil
}

func created(e container.Event) *events.TaskCreate {
	io := e.Container.Stdio()
	return &events.TaskCreate{
		ContainerID: e.Container.ID(), Bundle: e.Container.Bundle(), Rootfs: apiMounts(e.Rootfs), Pid: uint32(e.Pid),
		IO: &events.TaskIO{Stdin: io.Stdin, Stdout: io.Stdout, Stderr: io.Stderr, Terminal: io.Terminal},
	}
}

// exited names the process: the exec, or the container itself for its first process.
func exited(e container.Event) *events.TaskExit {
	process := e.ExecID
	if process == "" {
		process = e.Container.ID()
	}
	return &events.TaskExit{
		ContainerID: e.Container.ID(), ID: process, Pid: uint32(e.Pid),
		ExitStatus: e.Exit.Status, ExitedAt: protobuf.ToTimestamp(e.Exit.At),
	}
}

func apiMounts(mounts []rootfs.Mount) []*types.Mount {
	var list []*types.Mount
	for _, m := range mounts {
		list = append(list, &types.Mount{Type: m.Type, Source: m.Source, Options: m.Options})
	}
	return list
}
