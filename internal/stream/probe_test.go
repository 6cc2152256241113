// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/probe"
	"github.com/sardine-run/sardine/internal/testnode"
)

// target is a container that is probed: what a probe finds is decided by alive.
type target struct{ alive func() error }

func (target) ID() string                      { return "one" }
func (target) Root() (*os.File, error)         { return nil, errors.New("it has no root") }
func (target) Volume(string) (*os.File, error) { return nil, errors.New("it has no volume") }
func (t target) Alive() error                  { return t.alive() }

func (target) Dial(ctx context.Context, _ ...netip.AddrPort) (net.Conn, error) {
	<-ctx.Done() // it never answers
	return nil, ctx.Err()
}

// probed runs a container whose probes go to a target.
func (n *node) probed(alive func() error) {
	c := n.idle("one")
	c.Target = target{alive}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.containers["one"] = c
}

func TestProbe(t *testing.T) {
	n := newNode(t, Config{Probes: &probe.Prober{}})
	ill := errors.New("it is ill")
	var state error
	n.probed(func() error { return state })
	for _, want := range []struct {
		args string
		err  error
		code int32
		text string
	}{{"alive", nil, 0, "alive: the main"}, {"alive", ill, 1, "alive: it is ill"}, {"bogus", nil, 2, "usage: sardine-probe"}} {
		state = want.err
		got, err := n.ExecSync(t.Context(), "one", []string{probe.Name, want.args}, testnode.Patience)
		if err != nil || got.ExitCode != want.code || !strings.Contains(string(got.Stdout)+string(got.Stderr), want.text) {
			t.Errorf("%s: %+v, %v", want.args, got, err)
		}
	}
	begin := time.Now()
	_, err := n.ExecSync(t.Context(), "one", []string{probe.Name, "tcp", "1"}, 50*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "timed out after 50ms") || time.Since(begin) > testnode.Patience {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.ExecSync(ctx, "one", []string{probe.Name, "tcp", "1"}, testnode.Patience); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
	if _, err := n.ExecSync(t.Context(), "two", []string{probe.Name, "alive"}, testnode.Patience); !errdefs.IsNotFound(err) {
		t.Errorf("no such container: %v", err)
	}
	// What is not exactly the name is a program of the image, which has none.
	for _, cmd := range []string{"/" + probe.Name, "./" + probe.Name, probe.Name + "x"} {
		if got, err := n.ExecSync(t.Context(), "one", []string{cmd, "alive"}, testnode.Patience); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %+v, %v", cmd, got, err)
		}
	}
}

// TestProbesOff: the command is the image's then.
func TestProbesOff(t *testing.T) {
	n := newNode(t, Config{})
	n.probed(func() error { t.Error("asked"); return nil })
	if got, err := n.ExecSync(t.Context(), "one", []string{probe.Name, "alive"}, testnode.Patience); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestProbeStreamed: exec without a terminal is answered too, on the client's streams; with one it is a program's.
func TestProbeStreamed(t *testing.T) {
	n := newNode(t, Config{Probes: &probe.Prober{}})
	n.probed(func() error { return nil })
	var out, errs strings.Builder
	code, err := n.exec(t.Context(), "one", []string{probe.Name, "alive"}, terminalStreams{out: &out, errs: &errs})
	if err != nil || code != 0 || !strings.HasPrefix(out.String(), "alive: ") || errs.String() != "" {
		t.Errorf("%d, %v, %q, %q", code, err, out.String(), errs.String())
	}
	out.Reset()
	code, err = n.exec(t.Context(), "one", []string{probe.Name}, terminalStreams{errs: &errs})
	if err != nil || code != 2 || !strings.Contains(errs.String(), "usage: ") {
		t.Errorf("%d, %v, %q", code, err, errs.String())
	}
	if code, err := n.exec(t.Context(), "one", []string{probe.Name, "alive"}, terminalStreams{out: &out, tty: true}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("with a terminal: %d, %v", code, err)
	}
}
