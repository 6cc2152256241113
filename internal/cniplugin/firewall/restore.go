// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// programs are the node's iptables-restore and ip6tables-restore.
type programs struct {
	mu    sync.Mutex
	known map[string]identity // by path
}

// identity is a program's file, and what it said.
type identity struct {
	file     os.FileInfo
	nfTables bool
}

// find looks for the programs of both families, as the reference plugin does for every verb. ErrDeclined when there is
// iptables, but none that is on nf_tables.
func (p *programs) find(ctx context.Context) (map[*family]string, error) {
	paths := map[*family]string{}
	for _, f := range families {
		if _, err := exec.LookPath(f.program); err != nil {
			return nil, fmt.Errorf("could not initialize iptables protocol %d: %w", f.ordinal, err)
		}
		path, err := exec.LookPath(f.program + "-restore")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, cniplugin.ErrDeclined)
		}
		onNFTables, err := p.onNFTables(ctx, path)
		if err != nil {
			return nil, err
		}
		if !onNFTables {
			return nil, fmt.Errorf("%s is not on nf_tables: %w", path, cniplugin.ErrDeclined)
		}
		paths[f] = path
	}
	return paths, nil
}

// onNFTables asks a program once, and again when its file was replaced.
func (p *programs) onNFTables(ctx context.Context, path string) (bool, error) {
	file, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k, ok := p.known[path]; ok && os.SameFile(k.file, file) && k.file.ModTime().Equal(file.ModTime()) {
		return k.nfTables, nil
	}
	cmd := exec.CommandContext(ctx, path, "--version")
	out := prepare(cmd, "")
	if err := cmd.Run(); err != nil {
		return false, fmt.Errorf("could not get iptables version: %w", err)
	}
	if p.known == nil {
		p.known = map[string]identity{}
	}
	p.known[path] = identity{file: file, nfTables: strings.Contains(string(*out), "(nf_tables)")}
	return p.known[path].nfTables, nil
}

// restoring returns what filter.ensure calls: it starts the program at path, in the host's namespace.
func restoring(host *netif.Namespace, path string) func(ctx context.Context, text string) (wait func() error, err error) {
	return func(ctx context.Context, text string) (func() error, error) {
		cmd := exec.CommandContext(ctx, path, "--noflush", "-w")
		out := prepare(cmd, text)
		if err := host.Do(cmd.Start); err != nil {
			return nil, err
		}
		return func() error {
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("%s: %w: %s", path, err, strings.TrimSpace(string(*out)))
			}
			return nil
		}, nil
	}
}

// outputLimit is how much of what a program says is kept.
const outputLimit = 4096

// prepare gives a command its input and a place for its output.
func prepare(cmd *exec.Cmd, input string) *limited {
	out := &limited{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), out, out
	cmd.WaitDelay = 10 * time.Second // more than a busy node keeps the daemon from reading what is left
	return out
}

// limited is a buffer that forgets what is too much.
type limited []byte

func (l *limited) Write(p []byte) (int, error) {
	*l = append(*l, p[:min(len(p), outputLimit-len(*l))]...)
	return len(p), nil
}
