// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// CrictlCommand returns a crictl, not started, that belongs into the node's
// place.
func (n *Node) CrictlCommand(ctx context.Context, args ...string) *exec.Cmd {
	n.t.Helper()
	config := filepath.Join(n.Dir, "crictl.yaml")
	text := fmt.Sprintf("runtime-endpoint: %[1]s\nimage-endpoint: %[1]s\ntimeout: 60\n", n.Endpoint())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, e2e.Program(n.t, "crictl"), append([]string{"--config", config}, args...)...)
	cmd.WaitDelay = testnode.Patience // a busy node may keep the test from reading what is left
	return cmd
}

// Crictl runs crictl and returns what it printed. The error holds what it said
// on its standard error.
func (n *Node) Crictl(args ...string) (string, error) {
	n.t.Helper()
	return n.CrictlInput(strings.NewReader(""), args...)
}

// CrictlInput is Crictl with a standard input.
func (n *Node) CrictlInput(input io.Reader, args ...string) (string, error) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	cmd := n.CrictlCommand(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &stdout, &stderr
	if err := n.Place.Run(cmd); err != nil {
		return stdout.String(), fmt.Errorf("crictl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// MustCrictl is Crictl where an error ends the test. White space at the ends is
// cut off.
func (n *Node) MustCrictl(args ...string) string {
	n.t.Helper()
	out, err := n.Crictl(args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// crictlFile writes a configuration for crictl and returns its path.
func (n *Node) crictlFile(name string, config any) string {
	n.t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		n.t.Fatal(err)
	}
	path := filepath.Join(n.t.TempDir(), name+".json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}
