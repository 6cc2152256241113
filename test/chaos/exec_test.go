// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
	"github.com/sardine-run/sardine/test/payload/talk"
)

// exec runs a command in the container. One that its daemon has not outlived is not repeated, and must not go on.
func (c *container) exec() {
	if !c.runs() {
		return
	}
	mark := fmt.Sprintf("exec-%s-%06d", c.Namespace, c.count.Add(1))
	code, wait := c.rng.IntN(100), 0.0
	if c.chance(50) {
		wait = c.rng.Float64() * 2
	}
	timeout := int64(60)                    // longer than any machine takes
	if c.script.Life == 0 && c.chance(60) { // in one that does not end by itself
		wait, timeout = 3600, 4
	}
	request := &runtime.ExecSyncRequest{
		ContainerId: c.id, Timeout: timeout,
		Cmd: []string{"sh", "-c", fmt.Sprintf("echo %s; sleep %.2f; echo done >&2; exit %d", mark, wait, code), mark},
	}
	var got *runtime.ExecSyncResponse
	begin, life := time.Now(), c.lives.now()
	lost, err := c.call(c.who, fmt.Sprintf("ExecSync %s for %.2f s", mark, wait), func(ctx context.Context) (err error) {
		got, err = c.cri.ExecSync(ctx, request)
		return err
	})
	overdue := wait > 3 && status.Code(err) == codes.DeadlineExceeded && time.Since(begin) > 3*time.Second
	switch {
	case overdue:
		c.await(c.who, mark+" is killed", func() bool { return len(processesWith(mark)) == 0 })
	case lost && c.with(executions):
		c.awaitKilled(mark, life)
	case lost:
	case err != nil || int(got.ExitCode) != code:
		if page, _ := talk.ReadPage(c.page); !page.Ends && !c.killed { // or else it went with the container
			c.fail(c.who, "ExecSync %s: %v, exit code %d, want %d: %s", mark, err, got.GetExitCode(), code, got.GetStderr())
		}
	case string(got.Stdout) != mark+"\n" || string(got.Stderr) != "done\n":
		c.fail(c.who, "ExecSync %s printed %q and %q", mark, got.Stdout, got.Stderr)
	}
}

// awaitKilled waits for a daemon after the one of life to end what that was executing, which it begins to do when it starts. Each may be
// killed before it has come to that, so only the time counts in which there is one, and of a pause that the machine makes, next to nothing.
func (c *container) awaitKilled(mark string, life int) {
	const long, pause = 10 * time.Second, 20 * time.Millisecond
	last, up := time.Now(), time.Duration(0)
	for ; len(processesWith(mark)) > 0; time.Sleep(pause) {
		c.alive()
		now := time.Now()
		if c.lives.now() > life {
			up += min(now.Sub(last), 5*pause)
		}
		if last = now; up > long {
			c.fail(c.who, "daemon %d was executing %s, and daemon %d lets it live", life, mark, c.lives.now())
		}
	}
}

// attach is attached for a while. What it is sent is a piece of the text without a gap, and its client ends with the
// daemon.
func (c *container) attach() {
	if !c.with(attaching) || !c.runs() {
		return
	}
	args := []string{"--config", c.crictl(), "attach"}
	if c.terminal {
		args = append(args, "--tty")
	}
	cmd := exec.Command(e2e.Program(c.t, "crictl"), append(args, c.id)...)
	cmd.WaitDelay = testnode.Patience // a busy node may keep the test from reading what is left
	var out, errs lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	life := c.lives.now()
	c.notes.note(c.who, "attach ...")
	wait, err := c.Place.Start(cmd)
	if err != nil {
		c.fail(c.who, "crictl: %v", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = wait() }()
	c.detach(cmd, life, ended)
	c.notes.note(c.who, "attach: got %d bytes: %s", len(out.bytes()), errs.bytes())
	page, err := talk.ReadPage(c.page)
	if err != nil {
		c.fail(c.who, "%v", err)
	}
	text := talk.Text(c.script.Seed, 0, page.Begun[0])
	if c.terminal {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	if got := out.bytes(); !bytes.Contains(text, got) {
		c.fail(c.who, "attached to daemon %d, and was sent %d bytes that are no piece of its output: %.300q", life, len(got), got)
	}
}

// detach ends the client after a while, or waits for it to end when its daemon dies before.
func (c *container) detach(cmd *exec.Cmd, life int, ended <-chan struct{}) {
	most := 50*time.Millisecond + time.Duration(c.rng.Int64N(int64(2*time.Second)))
	var died time.Time
	for begin := time.Now(); ; {
		select {
		case <-ended:
			return
		case <-c.ctx.Done():
			_ = cmd.Process.Kill()
		case <-time.After(20 * time.Millisecond):
		}
		if died.IsZero() && c.lives.now() != life {
			died = time.Now()
		}
		if died.IsZero() && time.Since(begin) > most {
			_ = cmd.Process.Kill()
		}
		if !died.IsZero() && time.Since(died) > testnode.Patience {
			_ = cmd.Process.Kill()
			c.fail(c.who, "whoever was attached to daemon %d did not notice its death", life)
		}
	}
}

// crictl is the configuration of crictl, made before the workers begin.
func (r *run) crictl() string { return filepath.Join(r.Dir, "crictl.yaml") }

// lockedBuffer is written by a goroutine of os/exec that may outlive the command.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buffer.Bytes())
}
