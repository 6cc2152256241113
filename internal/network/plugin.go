// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/log"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"golang.org/x/sys/unix"
)

// runner starts plugins for libcni, each in a process group of its own.
type runner struct {
	version.PluginDecoder
}

const (
	// maxOutput bounds what a plugin may write, in bytes.
	maxOutput = 4 << 20
	// outputDelay is how long a plugin's descendants may hold its output open after it ended.
	outputDelay = 2 * time.Second
	// busyTries at intervals of busyDelay are made to execute a plugin that somebody still writes.
	busyTries = 10
	busyDelay = 50 * time.Millisecond
)

// FindInPath implements invoke.Exec.
func (*runner) FindInPath(plugin string, dirs []string) (string, error) {
	return invoke.FindInPath(plugin, dirs)
}

// ExecPlugin implements invoke.Exec. When ctx ends before the plugin, the plugin is killed with all
// its descendants that did not leave its process group.
func (r *runner) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	for try := 1; ; try++ {
		out, err := r.run(ctx, path, stdin, environ)
		if !errors.Is(err, syscall.ETXTBSY) || try == busyTries {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(busyDelay):
		}
	}
}

func (r *runner) run(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = outputDelay
	stdout, stderr := &bounded{}, &bounded{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), stdout, stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it succeeded, and left somebody behind
	}
	name := filepath.Base(path)
	switch {
	case cmd.ProcessState == nil:
		return nil, fmt.Errorf("plugin %s cannot be started: %w", name, err)
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("plugin %s did not finish and was killed: %w", name, ctx.Err())
	case err != nil:
		return nil, pluginError(err, stdout.bytes(), stderr.bytes())
	case stdout.over:
		return nil, fmt.Errorf("plugin %s wrote more than %d bytes", name, maxOutput)
	}
	if said := bytes.TrimSpace(stderr.bytes()); len(said) > 0 {
		log.G(ctx).WithField("plugin", name).Debugf("cni: %s", said)
	}
	if err := refuseNulls(stdout.bytes()); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", name, err)
	}
	return stdout.bytes(), nil
}

// refuseNulls keeps from libcni what it would dereference: elements null in the lists of a result. What
// is not JSON is its own to refuse.
func refuseNulls(text []byte) error {
	var result struct {
		Interfaces, IPs, Routes []any
	}
	if json.Unmarshal(text, &result) != nil {
		return nil
	}
	for _, list := range [][]any{result.Interfaces, result.IPs, result.Routes} {
		if slices.Contains(list, nil) {
			return errors.New("its result has an element null")
		}
	}
	return nil
}

// killGroup kills the process group of a child that was not waited for yet, or just was: a
// number is not given to others while a process of the group lives.
func killGroup(pid int) error {
	err := unix.Kill(-pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// pluginError is what the plugin said on standard output, in the form that the specification
// asks for, or whatever else it said.
func pluginError(exit error, stdout, stderr []byte) error {
	var e types.Error
	if err := json.Unmarshal(stdout, &e); err == nil && e.Msg != "" {
		return &e
	}
	for _, said := range [][]byte{stderr, stdout} {
		if text := strings.TrimSpace(string(said)); text != "" {
			return &types.Error{Code: e.Code, Msg: fmt.Sprintf("%v: %s", exit, shorten(text))}
		}
	}
	return &types.Error{Code: e.Code, Msg: fmt.Sprintf("%v, without a message", exit)}
}

// shorten keeps the end of a long message: that is where the error is.
func shorten(text string) string {
	const most = 4 << 10
	if len(text) > most {
		return "..." + strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return text
}

// bounded is a buffer that drops what is too much, so that the writer does not block.
type bounded struct {
	buffer bytes.Buffer // not embedded: its ReadFrom would go past Write
	over   bool
}

func (b *bounded) bytes() []byte { return b.buffer.Bytes() }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	room := maxOutput - b.buffer.Len()
	if len(p) > room {
		b.over = true
		b.buffer.Write(p[:room])
	} else {
		b.buffer.Write(p)
	}
	return len(p), nil
}
