// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/testnode"
)

func (n *node) execSync(id, script string, timeout time.Duration) (*Result, error) {
	n.t.Helper()
	return n.ExecSync(n.t.Context(), id, []string{"sh", "-c", script}, timeout)
}

func TestExecSync(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	before := n.descriptors()
	for script, want := range map[string]Result{
		"true":                      {},
		"echo hello; echo oh >&2":   {Stdout: []byte("hello\n"), Stderr: []byte("oh\n")},
		"exit 5":                    {ExitCode: 5},
		"kill -9 $$":                {ExitCode: 137},
		"cat; tty":                  {Stdout: []byte("not a tty\n"), ExitCode: 1}, // standard input is /dev/null
		"echo $A $TERM $PWD":        {Stdout: []byte("b dumb /tmp\n")},
		"echo again >/dev/stdout":   {Stdout: []byte("again\n")},
		"echo a >&2; exec true":     {Stderr: []byte("a\n")},
		"sleep 0.05; echo -n slept": {Stdout: []byte("slept")},
	} {
		got, err := n.execSync("one", script, testnode.Patience)
		if err != nil {
			t.Errorf("%s: %v", script, err)
			continue
		}
		if string(got.Stdout) != string(want.Stdout) || string(got.Stderr) != string(want.Stderr) || got.ExitCode != want.ExitCode {
			t.Errorf("%s: %q, %q, %d", script, got.Stdout, got.Stderr, got.ExitCode)
		}
	}
	n.sameDescriptors(before)
	n.onlyIdle(c)
}

// TestExecSyncUser: a program that is not root can open its streams again.
func TestExecSyncUser(t *testing.T) {
	n := newNode(t, Config{})
	n.run("one", box{script: "exec sleep 1000", user: 1234})
	got, err := n.execSync("one", "id -u; echo again >/dev/stdout; echo oh >/dev/stderr", testnode.Patience)
	if err != nil || string(got.Stdout) != "1234\nagain\n" || string(got.Stderr) != "oh\n" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestExecSyncRefuses(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	before := n.descriptors()
	for name, test := range map[string]struct {
		id   string
		cmd  []string
		code codes.Code
		text string
	}{
		"unknown container": {"two", []string{"true"}, codes.NotFound, `"two"`},
		"no command":        {"one", nil, codes.InvalidArgument, "no command"},
		"empty command":     {"one", []string{""}, codes.InvalidArgument, ""},
		"missing program":   {"one", []string{"nosuch"}, codes.InvalidArgument, "nosuch"},
		"missing path":      {"one", []string{"/bin/nosuch"}, codes.InvalidArgument, "/bin/nosuch"},
		"not executable":    {"one", []string{"/bin/notexecutable"}, codes.PermissionDenied, "notexecutable"},
		"a directory":       {"one", []string{"/tmp"}, codes.InvalidArgument, "/tmp"},
		"a NUL byte":        {"one", []string{"echo", "a\x00b"}, codes.InvalidArgument, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.ExecSync(t.Context(), test.id, test.cmd, testnode.Patience)
			if code := status.Code(errgrpc.ToGRPC(err)); code != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v: %v; want %v with %q", code, err, test.code, test.text)
			}
		})
	}
	n.sameDescriptors(before)
	if err := c.Task.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Task.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.execSync("one", "true", testnode.Patience); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("in a container that has ended: %v", err)
	}
}

// TestExecSyncTimeout: the error is the one that the kubelet takes for a probe that failed, and
// nothing of the command is left.
func TestExecSyncTimeout(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	before := n.descriptors()
	for _, script := range []string{
		"sleep 100",
		"sleep 100 & sleep 100",
		"trap '' TERM INT HUP; (sleep 100 & sleep 100 &); setsid sleep 100 & sleep 100",
		"yes",
	} {
		began := time.Now()
		_, err := n.execSync("one", script, 100*time.Millisecond)
		if took := time.Since(began); took < 100*time.Millisecond || took > killTime { // what cannot be killed takes longer
			t.Errorf("%s: took %v", script, took)
		}
		if code := status.Code(errgrpc.ToGRPC(err)); code != codes.DeadlineExceeded || !strings.Contains(err.Error(), "timed out after 100ms") {
			t.Errorf("%s: %v, %v", script, code, err)
		}
		if left := n.commands(c); !slices.Equal(left, []string{"sleep 1000"}) {
			t.Errorf("%s: left %q", script, left)
		}
	}
	n.sameDescriptors(before)
}

// heardLate is a context whose end is asked for only when late has returned, as on a busy node.
type heardLate struct {
	context.Context
	late func()
}

func (c heardLate) Err() error {
	c.late()
	return c.Context.Err()
}

// TestExecSyncOverWhileStarting: the daemon learns late that the program runs, when it has started others and the time is over.
func TestExecSyncOverWhileStarting(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	before := n.descriptors()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	late := func() {
		if ctx.Err() == nil {
			n.eventually("the command runs", func() bool {
				return slices.Equal(n.commands(c), []string{"sleep 1000", "sleep 101", "sleep 102", "sleep 103"})
			})
			cancel()
		}
	}
	args := []string{"sh", "-c", "sleep 101 & setsid sleep 102 & exec sleep 103"}
	if _, err := n.ExecSync(heardLate{ctx, late}, "one", args, 0); status.Code(errgrpc.ToGRPC(err)) != codes.Canceled {
		t.Error(err)
	}
	for _, timeout := range []time.Duration{1, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond} {
		if _, err := n.ExecSync(t.Context(), "one", args, timeout); !errdefs.IsDeadlineExceeded(err) || !strings.Contains(err.Error(), "timed out") {
			t.Errorf("after %v: %v", timeout, err)
		}
	}
	if left := n.commands(c); !slices.Equal(left, []string{"sleep 1000"}) {
		t.Errorf("left: %q", left)
	}
	n.sameDescriptors(before)
}

// TestExecSyncCancelled: a caller that goes away ends the command as its timeout does.
func TestExecSyncCancelled(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	before := n.descriptors()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() {
		_, err := n.ExecSync(ctx, "one", []string{"sh", "-c", "sleep 100 & sleep 101"}, 0)
		ended <- err
	}()
	n.eventually("the command runs", func() bool { return slices.Contains(n.commands(c), "sleep 101") })
	cancel()
	if err := <-ended; status.Code(errgrpc.ToGRPC(err)) != codes.Canceled {
		t.Error(err)
	}
	n.onlyIdle(c)
	n.sameDescriptors(before)
}

// TestExecSyncLarge: output beyond the limit is dropped, the program is not held up and
// the result fits in a message.
func TestExecSyncLarge(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	for script, want := range map[string][2]int{
		"head -c 20000000 /dev/zero; exit 3":                                 {maxOutput, 0},
		"head -c 20000000 /dev/zero >&2; exit 3":                             {0, maxOutput},
		"head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; exit 3": {maxOutput / 2, maxOutput / 2},
		"head -c 20000000 /dev/zero; echo -n oh >&2; exit 3":                 {maxOutput - 2, 2},
		"head -c 16000000 /dev/zero; exit 3":                                 {16000000, 0},
	} {
		got, err := n.execSync("one", script, testnode.Patience)
		if err != nil {
			t.Errorf("%s: %v", script, err)
			continue
		}
		if len(got.Stdout) != want[0] || len(got.Stderr) != want[1] || got.ExitCode != 3 {
			t.Errorf("%s: %d, %d, %d; want %d", script, len(got.Stdout), len(got.Stderr), got.ExitCode, want)
		}
	}
}

// TestExecSyncBackground: what a command leaves running may hold its output, and is not killed.
func TestExecSyncBackground(t *testing.T) {
	t.Run("timeout", func(t *testing.T) {
		n := newNode(t, Config{})
		c := n.idle("one")
		var err error
		for timeout := time.Second; timeout < testnode.Patience; timeout *= 2 {
			_, err = n.execSync("one", "sleep 101 & echo started", timeout)
			if !errdefs.IsDeadlineExceeded(err) || strings.Contains(err.Error(), "has exited") { // where it has time to
				break
			}
		}
		if !errdefs.IsDeadlineExceeded(err) || !strings.Contains(err.Error(), "others hold its output") {
			t.Error(err)
		}
		n.stillRuns(c, "sleep 101")
	})
	t.Run("drain timeout", func(t *testing.T) {
		n := newNode(t, Config{DrainTimeout: 100 * time.Millisecond})
		c := n.idle("one")
		before := n.descriptors()
		began := time.Now()
		_, err := n.execSync("one", "sleep 101 & echo started", testnode.Patience)
		if status.Code(errgrpc.ToGRPC(err)) != codes.Unknown || !strings.Contains(err.Error(), "hold its output") {
			t.Error(err)
		}
		if took := time.Since(began); took > testnode.Patience/2 { // the command has patience to end
			t.Errorf("took %v", took)
		}
		n.stillRuns(c, "sleep 101")
		n.sameDescriptors(before)
	})
	t.Run("output elsewhere", func(t *testing.T) {
		n := newNode(t, Config{})
		n.idle("one")
		got, err := n.execSync("one", "sleep 101 >/dev/null 2>&1 & echo started", testnode.Patience)
		if err != nil || string(got.Stdout) != "started\n" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestDrainedInTime: output that has ended is not held by others, also when the time is over before anybody looks.
func TestDrainedInTime(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	ended, open := make(chan struct{}), make(chan struct{})
	close(ended)
	for range 100 {
		if err := new(Server).drain(over, ended, ended); err != nil {
			t.Fatal(err)
		}
		if err := new(Server).drain(over, ended, open); !strings.Contains(err.Error(), "hold its output") {
			t.Fatal(err)
		}
	}
}

// TestExecSyncContainerEnds: the command ends with its container.
func TestExecSyncContainerEnds(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	ended := make(chan *Result)
	go func() {
		r, err := n.execSync("one", "echo hello; sleep 101", 0)
		if err != nil {
			t.Error(err)
		}
		ended <- r
	}()
	n.eventually("the command runs", func() bool { return slices.Contains(n.commands(c), "sleep 101") })
	if err := c.Task.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if r := <-ended; r == nil || r.ExitCode != 137 || string(r.Stdout) != "hello\n" {
		t.Errorf("%+v", r)
	}
}

// TestExecSyncPaused: a command in a container that is paused meanwhile still times out.
func TestExecSyncPaused(t *testing.T) {
	n := newNode(t, Config{})
	c := n.idle("one")
	before := n.descriptors()
	ended := make(chan error)
	ctx, timeOut := context.WithCancelCause(t.Context())
	defer timeOut(nil)
	go func() {
		_, err := n.ExecSync(ctx, "one", []string{"sleep", "101"}, 0)
		ended <- err
	}()
	n.eventually("the command runs", func() bool { return slices.Contains(n.commands(c), "sleep 101") })
	if err := c.Task.Pause(t.Context()); err != nil {
		t.Error(err)
	}
	timeOut(context.DeadlineExceeded)
	if err := <-ended; !errdefs.IsDeadlineExceeded(err) {
		t.Error(err)
	}
	if s := c.Task.Status().State; s != container.Paused {
		t.Errorf("the container is %s", s)
	}
	if err := c.Task.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.onlyIdle(c)
	n.sameDescriptors(before)
}

// TestExecSyncParallel: many at once neither mix nor leak.
func TestExecSyncParallel(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	before := n.descriptors()
	ended := make(chan error)
	const calls = 32
	for i := range calls {
		go func() {
			word := strings.Repeat("x", i)
			r, err := n.execSync("one", "echo -n "+word, testnode.Patience)
			if err == nil && string(r.Stdout) != word {
				t.Errorf("%q, not %q", r.Stdout, word)
			}
			ended <- err
		}()
	}
	for range calls {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	n.sameDescriptors(before)
}

func TestFit(t *testing.T) {
	for _, test := range []struct{ stdout, stderr, wantOut, wantErr int }{
		{0, 0, 0, 0}, {10, 0, 10, 0}, {5, 5, 5, 5}, {11, 0, 10, 0}, {0, 11, 0, 10}, {9, 3, 7, 3}, {3, 9, 3, 7}, {9, 9, 5, 5}, {6, 5, 5, 5},
	} {
		r := Result{Stdout: make([]byte, test.stdout), Stderr: make([]byte, test.stderr)}
		if r.fit(10); len(r.Stdout) != test.wantOut || len(r.Stderr) != test.wantErr {
			t.Errorf("%+v: %d, %d", test, len(r.Stdout), len(r.Stderr))
		}
	}
}
