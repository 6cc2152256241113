// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	api "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// recorder is a subscriber that may be slow and may fail.
type recorder struct {
	mu   sync.Mutex
	got  []string
	gate chan struct{} // nil: never waits
	err  error
}

func (r *recorder) Publish(ctx context.Context, topic string, event events.Event) error {
	if r.gate != nil {
		<-r.gate
	}
	ns, _ := namespaces.Namespace(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprintf("%s %s %s", ns, topic, event.(*api.TaskStart).ContainerID))
	return r.err
}

func TestPublisherKeepsOrder(t *testing.T) {
	// Nothing is lost when publishing fails: the next event is tried all the same.
	r := &recorder{gate: make(chan struct{}), err: errors.New("no subscriber")}
	p := newPublisher(r)
	var want []string
	for i := range 1000 { // none of which may block
		ns := fmt.Sprint("ns", i%3)
		p.publish(ns, &api.TaskStart{ContainerID: fmt.Sprint(i)})
		want = append(want, fmt.Sprintf("%s /tasks/start %d", ns, i))
	}
	close(r.gate)
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.got, want) {
		t.Errorf("published %d events, want %d in order", len(r.got), len(want))
	}
}

func TestPublisherCloseWithoutEvents(t *testing.T) {
	if err := newPublisher(&recorder{}).close(); err != nil {
		t.Fatal(err)
	}
}
