// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/cri"
)

// run is one round: a node, the workers and what is known of them.
type run struct {
	*cri.Node
	*settings
	t     *testing.T
	seed  uint64
	rng   *rand.Rand // of the test itself
	lives lives
	notes timeline
	lost  tally // calls that died with a daemon
	begun chan struct{}

	cri    runtime.RuntimeServiceClient
	client *containerd.Client
	pages  string // directory of the programs' pages
	events *criEvents
	exits  *taskEvents

	ctx   context.Context // ends at the first violation
	abort context.CancelFunc
	over  atomic.Bool // the workers finish what they have begun
	count atomic.Int64

	mu       sync.Mutex
	violated []violation
}

// violation is a promise that was not kept.
type violation struct{ who, what string }

func newRun(t *testing.T, s *settings, seed uint64) *run {
	t.Logf("SARDINE_CHAOS_SEED=%d SARDINE_CHAOS_TIME=%v", seed, s.time)
	r := &run{settings: s, t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), begun: make(chan struct{})}
	r.ctx, r.abort = context.WithCancel(context.Background())
	t.Cleanup(r.abort)
	r.Node = cri.StartNode(t)
	t.Cleanup(r.keepTraces)
	r.pages = filepath.Join(r.Dir, "pages")
	if err := os.Mkdir(r.pages, 0o777); err != nil {
		t.Fatal(err)
	}
	r.CrictlCommand(r.ctx) // writes its configuration
	r.connect()
	r.prepare()
	r.lives.begin()
	return r
}

// connect makes clients that find a new daemon at once.
func (r *run) connect() {
	conn, err := grpc.NewClient(r.Endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(32<<20)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	r.cri = runtime.NewRuntimeServiceClient(conn)
	r.client, err = containerd.NewWithConn(conn, containerd.WithDefaultNamespace(r.Namespace))
	if err != nil {
		r.t.Fatal(err)
	}
}

// prepare brings in the images.
func (r *run) prepare() {
	r.Pull(cri.Busybox)
	if r.with(tasks) {
		r.ImportBusybox()
	}
}

// round is the whole of it.
func (r *run) round() {
	stop := r.listen()
	var workers sync.WaitGroup
	for i := range r.workers {
		workers.Go(func() { newWorker(r, i).work() })
	}
	r.torment(time.Now().Add(r.time))
	r.over.Store(true)
	r.notes.note(daemon, "is left alone")
	begin := time.Now()
	workers.Wait()
	stop()
	r.t.Logf("%d daemons, %d pods, containers and processes, the last of which ended in %v; calls that died with a daemon: %s",
		r.lives.number, r.count.Load(), time.Since(begin).Round(time.Second/10), &r.lost)
	if r.ctx.Err() == nil {
		r.checkNode()
	}
	r.report()
}

// violate takes note of a promise that was not kept, and ends the round.
func (r *run) violate(who, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	r.notes.note(who, "VIOLATION: %s", what)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violated = append(r.violated, violation{who, what})
	r.abort()
}

// torment kills the daemon and starts it again until the time is over.
func (r *run) torment(until time.Time) {
	for time.Now().Before(until) && r.ctx.Err() == nil {
		r.sleep(100*time.Millisecond, 1900*time.Millisecond)
		if r.rng.IntN(2) == 0 {
			r.lieInWait()
		}
		if !r.Running() {
			r.violate(daemon, "it has exited by itself")
			return
		}
		r.kill()
		for r.rng.IntN(6) == 0 { // killed while it comes up
			r.notes.note(daemon, "starts, to be killed at once")
			r.Launch()
			r.sleep(0, 150*time.Millisecond)
			r.Kill9()
		}
		r.start()
	}
}

// lieInWait waits for a call that changes something, and a little longer.
func (r *run) lieInWait() {
	select {
	case <-r.begun:
		r.sleep(0, []time.Duration{time.Millisecond, 4 * time.Millisecond, 60 * time.Millisecond}[r.rng.IntN(3)])
	case <-time.After(time.Second):
	}
}

func (r *run) kill() {
	r.lives.end()
	if r.rng.IntN(8) == 0 {
		r.notes.note(daemon, "%d is told to end", r.lives.number)
		r.Stop()
	} else {
		r.notes.note(daemon, "%d is killed", r.lives.number)
		r.Kill9()
	}
	r.notes.note(daemon, "%d is dead", r.lives.number)
	if r.rng.IntN(4) == 0 {
		r.sleep(0, 1500*time.Millisecond)
	}
}

func (r *run) start() {
	begin := time.Now()
	r.Launch()
	r.Serving()
	r.reconnect()
	r.lives.begin()
	r.notes.note(daemon, "%d, process %d, serves after %v", r.lives.number, r.PID(), time.Since(begin).Round(time.Millisecond))
	r.checkHolders()
}

// reconnect returns when the workers' connection leads to the daemon that was just started. Who reads from the connection with the last one
// may be held up on a busy node; a call that was still sent on it would fail in the life of a daemon that has never heard of it.
func (r *run) reconnect() {
	ctx, cancel := context.WithTimeout(r.ctx, testnode.Patience)
	defer cancel()
	for {
		_, err := r.cri.Version(ctx, &runtime.VersionRequest{})
		if err == nil || r.ctx.Err() != nil {
			return
		}
		if ctx.Err() != nil || !r.Running() {
			r.violate(daemon, "it does not answer: %v", err)
			return
		}
	}
}

// checkHolders wants one holder of descriptors at most. One that gave up its lock has a moment to end.
func (r *run) checkHolders() {
	var holders []string
	for begin := time.Now(); time.Since(begin) < testnode.Patience; time.Sleep(10 * time.Millisecond) {
		if holders = commandsWith("fdstore\x00hold\x00" + r.State); len(holders) < 2 {
			return
		}
	}
	r.violate(daemon, "%d processes hold descriptors: %q", len(holders), holders)
}

// sleep sleeps for a random time, or until the round is aborted.
func (r *run) sleep(least, more time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(least + time.Duration(r.rng.Int64N(int64(more)))):
	}
}
