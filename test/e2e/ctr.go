// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sardine-run/sardine/internal/testnode"
)

// Ctr runs ctr in the daemon's namespace and returns what it printed on its
// standard output. The error holds what it said on the other one.
func (d *Daemon) Ctr(args ...string) (string, error) {
	d.t.Helper()
	return d.CtrInput("", args...)
}

// CtrInput is Ctr with a standard input.
func (d *Daemon) CtrInput(input string, args ...string) (string, error) {
	d.t.Helper()
	// Not the test's context, which has ended when its cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	cmd := d.CtrCommand(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// MustCtr is Ctr where an error ends the test.
func (d *Daemon) MustCtr(args ...string) string {
	d.t.Helper()
	out, err := d.Ctr(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// CtrCommand returns the command, not started, for tests that need a terminal
// or signals.
func (d *Daemon) CtrCommand(ctx context.Context, args ...string) *exec.Cmd {
	d.t.Helper()
	cmd := exec.CommandContext(ctx, Program(d.t, "ctr"), append([]string{"--address", d.Address, "--namespace", d.Namespace}, args...)...)
	cmd.Env = environment()
	cmd.WaitDelay = testnode.Patience // that somebody has left its output open is no reason to cut off what a busy test has not read yet
	return cmd
}

// RunArgs returns the arguments of "ctr run" with the daemon's runtime and the
// client's files below its directory; flags and words follow.
func (d *Daemon) RunArgs(args ...string) []string {
	return append([]string{"run", "--runtime", d.Runtime, "--fifo-dir", filepath.Join(d.Dir, "fifo")}, args...)
}

// ExecArgs returns the arguments of "ctr tasks exec".
func (d *Daemon) ExecArgs(args ...string) []string {
	return append([]string{"tasks", "exec", "--fifo-dir", filepath.Join(d.Dir, "fifo")}, args...)
}
