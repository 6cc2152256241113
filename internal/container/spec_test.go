// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestSharedSpec: many at the same time read once, and nobody keeps what nobody uses.
func TestSharedSpec(t *testing.T) {
	var shared sharedSpec
	reads := 0
	read := func() (*specs.Spec, error) { // not at the same time, says the race detector
		reads++
		return &specs.Spec{Hostname: "box"}, nil
	}
	refused := errors.New("refused")
	if _, err := shared.get(func() (*specs.Spec, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Fatalf("got %v, want the error of the reader", err)
	}
	var got [50]*specs.Spec
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i], _ = shared.get(read) })
	}
	all.Wait()
	for _, spec := range got {
		if spec != got[0] || spec.Hostname != "box" {
			t.Fatalf("got %v and %v", spec, got[0])
		}
	}
	if reads != 1 {
		t.Errorf("%d reads for %d users at the same time", reads, len(got))
	}
	runtime.KeepAlive(&got)
	clear(got[:])
	runtime.GC()
	if shared.pointer.Value() != nil {
		t.Error("it is kept, and nobody uses it")
	}
	if spec, err := shared.get(read); err != nil || spec.Hostname != "box" || reads != 2 {
		t.Errorf("got %v, %v with %d reads, want it read again", spec, err, reads)
	}
}
