// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// maxTime bounds a probe for which nobody has set a time.
const maxTime = time.Minute

// Target is what is asked: a container, or the process itself. Its methods may be called concurrently.
type Target interface {
	// ID names it among the targets of a Prober.
	ID() string
	// Root returns an O_PATH descriptor, the caller's, of the root directory.
	Root() (*os.File, error)
	// Volume returns one of the directory of the volume name.
	Volume(name string) (*os.File, error)
	// Dial connects with the first of addresses that answers, in the target's network.
	Dial(ctx context.Context, addresses ...netip.AddrPort) (net.Conn, error)
	// Alive returns why the main process cannot do anything, nil when it can.
	Alive() error
}

// Result is what the command leaves behind. One of the outputs is empty.
type Result struct {
	Stdout, Stderr []byte
	ExitCode       int
}

// Exit codes.
const (
	Success = 0
	Failure = 1
	Misuse  = 2
)

// Outcome of a probe, for who counts them.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "success"
	Failed    Outcome = "failure"
	Misused   Outcome = "usage"   // the arguments make no sense
	TimedOut  Outcome = "timeout" // or nobody waited for the answer
)

// Invalid is the kind of what is no probe.
const Invalid = "invalid"

// Prober asks probes. The zero value is ready. Its methods may be called concurrently, and those of a nil Prober too: it takes no command.
type Prober struct {
	// Observe, if not nil, is told of each probe: its kind, file to any or Invalid, what came of it, and how long it took.
	Observe func(kind string, outcome Outcome, took time.Duration)

	lookups lookups
}

// timerSlack is how much earlier than ctx those may end who have been told its deadline: sockets, and servers by gRPC. A failure so shortly
// before the end is one of time.
const timerSlack = 20 * time.Millisecond

// Takes reports whether args are a command to be answered by Run.
func (p *Prober) Takes(args []string) bool { return p != nil && len(args) > 0 && args[0] == Name }

// asked is what a probe is asked with.
type asked struct {
	ctx     context.Context
	target  Target
	lookups *lookups
}

// Run answers args, whose first is the name, about t. Its only error is that of ctx, as its cause.
func (p *Prober) Run(ctx context.Context, t Target, args []string) (*Result, error) {
	begin := time.Now()
	kind, outcome := Invalid, Misused
	var result *Result
	if question, err := Parse(args[1:]); err != nil {
		result = misuse(err)
	} else {
		kind = question.kind()
		outcome, result = p.ask(ctx, t, question)
	}
	if p.Observe != nil {
		p.Observe(kind, outcome, time.Since(begin))
	}
	if outcome == TimedOut {
		return nil, context.Cause(ctx)
	}
	return result, nil
}

func (p *Prober) ask(ctx context.Context, t Target, question Probe) (Outcome, *Result) {
	bounded := ctx
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(ctx, maxTime, fmt.Errorf("no answer within %v", maxTime))
		defer cancel()
	}
	answer := question.ask(asked{bounded, t, &p.lookups})
	if deadline, set := ctx.Deadline(); set && !answer.OK && time.Until(deadline) < timerSlack {
		<-ctx.Done()
	}
	switch {
	case answer.OK:
		return Succeeded, &Result{Stdout: line(answer.Text), ExitCode: Success}
	case ctx.Err() != nil:
		return TimedOut, nil
	}
	return Failed, &Result{Stdout: line(answer.Text), ExitCode: Failure}
}

func line(text string) []byte { return []byte(cut(visible(text), maxText) + "\n") }

func misuse(err error) *Result {
	if errors.Is(err, ErrHelp) {
		return &Result{Stderr: []byte(Usage), ExitCode: Misuse}
	}
	return &Result{Stderr: append(line(Name+": "+err.Error()), Usage...), ExitCode: Misuse}
}
