// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxHookOutput is how much of a hook's stderr an error carries, in bytes.
const maxHookOutput = 4096

// RunHooks runs hooks of the host one after the other and stops at the first that
// fails: for prestart, createRuntime and poststart. state goes to their stdin as JSON.
func RunHooks(ctx context.Context, hooks []specs.Hook, state specs.State) error {
	for i := range hooks {
		if err := runHook(ctx, &hooks[i], state); err != nil {
			return err
		}
	}
	return nil
}

// RunAllHooks runs every hook, whatever the others do: for poststop.
func RunAllHooks(ctx context.Context, hooks []specs.Hook, state specs.State) error {
	var errs []error
	for i := range hooks {
		errs = append(errs, runHook(ctx, &hooks[i], state))
	}
	return errors.Join(errs...)
}

func runHook(ctx context.Context, h *specs.Hook, state specs.State) error {
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	stderr := tail{max: maxHookOutput}
	cmd := exec.CommandContext(ctx, h.Path)
	cmd.Args, cmd.Env, cmd.Stdin = hookArgs(h), hookEnv(h), bytes.NewReader(encodeState(state))
	cmd.Stdout, cmd.Stderr = &stderr, &stderr
	// A group of its own, so that a timeout ends what the hook started too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a daemon left behind by the hook may hold stderr open
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) || err == nil {
		return nil
	}
	if ctx.Err() == context.DeadlineExceeded && h.Timeout != nil {
		err = fmt.Errorf("timed out after %d s: %w", *h.Timeout, context.DeadlineExceeded)
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return fmt.Errorf("hook %s: %w: %s", h.Path, err, text)
	}
	return fmt.Errorf("hook %s: %w", h.Path, err)
}

// tail keeps the last max bytes written to it.
type tail struct {
	max int
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - t.max; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string { return string(t.buf) }
