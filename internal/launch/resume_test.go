// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/testnode"
)

// waiting launches a program and gives it up as the end of the daemon does, but for a duplicate
// of its control socket.
func waiting(t *testing.T, req *launch.Request) (p *launch.Process, control, output *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p, err = newLauncher(t).Launch(t.Context(), req, launch.Stdio{nil, w, w}, nil, launch.Host{SeccompListener: noListener})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if control, err = p.Control(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	return p, control, r
}

func noListener(_ context.Context, _ int, f *os.File) error {
	f.Close()
	return errors.New("the earlier daemon was asked")
}

func resume(t *testing.T, p *launch.Process, control *os.File, listener func(context.Context, int, *os.File) error) *launch.Process {
	t.Helper()
	resumed, err := launch.Resume(control, p.Pid, p.Pidfd, listener)
	if err != nil {
		t.Fatal(err)
	}
	return resumed
}

// TestResume starts a process whose launcher has gone.
func TestResume(t *testing.T) {
	p, control, output := waiting(t, request(overlayOn(t, image(t)), "echo", "hello"))
	p = resume(t, p, control, nil)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(output); string(text) != "hello\n" {
		t.Errorf("it printed %q", text)
	}
	if code := wait(t, p); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestResumeGivenUp: nobody else keeps a process that waits.
func TestResumeGivenUp(t *testing.T) {
	p, control, _ := waiting(t, request(overlayOn(t, image(t)), "echo", "hello"))
	p = resume(t, p, control, nil)
	p.Close()
	if code := wait(t, p); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

// TestFinish: the earlier daemon has come to different points of a start.
func TestFinish(t *testing.T) {
	say := func(t *testing.T, control *os.File) {
		header := plan.Header(plan.Start, 0)
		if _, err := control.Write(header[:]); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(t *testing.T, control *os.File) {
		header := make([]byte, plan.HeaderSize+1) // with the number of a descriptor
		if _, err := io.ReadFull(control, header); err != nil || plan.Kind(header[0]) != plan.Listener {
			t.Fatalf("%q, %v", header, err)
		}
	}
	for name, earlier := range map[string]func(*testing.T, *os.File){
		"nothing": func(*testing.T, *os.File) {},
		"told":    say,
		"told long ago": func(t *testing.T, control *os.File) {
			say(t, control)
			poll(t, control, unix.POLLIN)
			if err := unix.SetNonblock(int(control.Fd()), true); err != nil { // as it was
				t.Fatal(err)
			}
		},
		"asked": func(t *testing.T, control *os.File) { say(t, control); hear(t, control) },
	} {
		t.Run(name, func(t *testing.T) {
			req := request(overlayOn(t, image(t)), "mkdir", "/tmp/x")
			req.Plan.Process.Seccomp = &plan.Seccomp{Program: filter(unix.SYS_MKDIR, unix.SECCOMP_RET_USER_NOTIF), Notify: true}
			p, control, output := waiting(t, req)
			earlier(t, control)
			listeners := 0
			p = resume(t, p, control, func(_ context.Context, _ int, f *os.File) error {
				listeners++
				return f.Close()
			})
			if err := p.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(output)
			if listeners != 1 || !strings.Contains(string(text), "Function not implemented") {
				t.Errorf("%d listeners, output %q", listeners, text)
			}
			if code := wait(t, p); code == 0 {
				t.Error("the program did not see the filter")
			}
		})
	}
}

// poll waits until control is as wanted. A signal of Go's runtime or of a child may interrupt it.
func poll(t *testing.T, control *os.File, want int16) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(control.Fd()), Events: want}}
	testnode.Eventually(t, "it goes on", func() bool {
		_, err := unix.Poll(fds, 1000)
		if err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		return err == nil && fds[0].Revents&want != 0
	})
}

// TestFinishDone: what has executed its program is left alone, and what has failed says why.
func TestFinishDone(t *testing.T) {
	for name, test := range map[string]struct {
		program, failure string
		code             int
	}{
		"runs":   {program: "sleep 1000", code: 128 + 9},
		"failed": {program: "nonsense", failure: "exec", code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			root := image(t)
			if err := os.WriteFile(root+"/bin/nonsense", []byte("\x7fELF"), 0o755); err != nil {
				t.Fatal(err)
			}
			p, control, _ := waiting(t, request(overlayOn(t, root), strings.Fields(test.program)...))
			header := plan.Header(plan.Start, 0)
			if _, err := control.Write(header[:]); err != nil {
				t.Fatal(err)
			}
			poll(t, control, unix.POLLHUP)
			p = resume(t, p, control, nil)
			err := p.Finish(t.Context())
			if test.failure == "" && err != nil || test.failure != "" && (err == nil || !strings.Contains(err.Error(), test.failure)) {
				t.Errorf("Finish: %v", err)
			}
			_ = unix.Kill(p.Pid, unix.SIGKILL)
			if code := wait(t, p); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

// TestFinishIsLeft: a daemon that ends meanwhile leaves the process to the next one.
func TestFinishIsLeft(t *testing.T) {
	req := request(overlayOn(t, image(t)), "echo", "hello")
	req.Plan.StartHooks = []plan.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1"}}}
	p, control, output := waiting(t, req)
	again, err := unix.FcntlInt(control.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p = resume(t, p, control, nil)
	if err := p.Finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Finish: %v", err)
	}
	p = resume(t, p, os.NewFile(uintptr(again), "control"), nil)
	if err := p.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	if text, _ := io.ReadAll(output); string(text) != "hello\n" {
		t.Errorf("it printed %q", text)
	}
	wait(t, p)
}
