// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"sync"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// listen follows the events of CRI and of containerd's API, of every daemon, until stop is called.
func (r *run) listen() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r.events = &criEvents{told: map[string][]*runtime.ContainerStatus{}, from: map[int]time.Time{}}
	r.exits = &taskEvents{told: map[string][]*eventtypes.TaskExit{}}
	var listeners sync.WaitGroup
	listeners.Go(func() { again(ctx, func() { r.events.follow(ctx, r) }) })
	listeners.Go(func() { again(ctx, func() { r.exits.follow(ctx, r) }) })
	return func() {
		cancel()
		listeners.Wait()
	}
}

// again repeats f, which ends with the daemon.
func again(ctx context.Context, f func()) {
	for ctx.Err() == nil {
		f()
		time.Sleep(time.Millisecond)
	}
}

// criEvents are the ends of containers as CRI's events tell them.
type criEvents struct {
	mu   sync.Mutex
	told map[string][]*runtime.ContainerStatus // by id
	from map[int]time.Time                     // since when each daemon was listened to
}

func (e *criEvents) follow(ctx context.Context, r *run) {
	life := r.lives.now()
	stream, err := r.cri.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	if err != nil {
		return
	}
	if _, err := stream.Header(); err != nil {
		return
	}
	if r.lives.now() == life { // 0 is nobody's number
		e.subscribed(life)
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return
		}
		e.take(r, event)
	}
}

func (e *criEvents) subscribed(life int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.from[life] = time.Now()
}

func (e *criEvents) take(r *run, event *runtime.ContainerEventResponse) {
	r.notes.note("events", "%v of %s", event.ContainerEventType, event.ContainerId)
	if event.ContainerEventType != runtime.ContainerEventType_CONTAINER_STOPPED_EVENT {
		return
	}
	for _, s := range event.ContainersStatuses {
		if s.Id == event.ContainerId && s.State == runtime.ContainerState_CONTAINER_EXITED {
			e.mu.Lock()
			e.told[s.Id] = append(e.told[s.Id], s)
			e.mu.Unlock()
		}
	}
}

func (e *criEvents) ends(id string) []*runtime.ContainerStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.told[id]
}

// heard tells whether everything was heard that a daemon said after a time.
func (e *criEvents) heard(life int, after time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	from, ok := e.from[life]
	return ok && from.Before(after)
}

// taskEvents are the exits of processes as containerd's events tell them.
type taskEvents struct {
	mu   sync.Mutex
	told map[string][]*eventtypes.TaskExit // by the name of the process: container and exec
}

func (e *taskEvents) follow(ctx context.Context, r *run) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, errs := r.client.EventService().Subscribe(ctx, `topic=="/tasks/exit"`)
	for {
		select {
		case m := <-messages:
			e.take(m)
		case <-errs:
			return
		}
	}
}

func (e *taskEvents) take(m *events.Envelope) {
	v, err := typeurl.UnmarshalAny(m.Event)
	if err != nil {
		return
	}
	if exit, ok := v.(*eventtypes.TaskExit); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.told[exit.ContainerID+"/"+exit.ID] = append(e.told[exit.ContainerID+"/"+exit.ID], exit)
	}
}

// ends returns what was told of a process: the first one of a container has the container's id.
func (e *taskEvents) ends(container, process string) []*eventtypes.TaskExit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.told[container+"/"+process]
}
