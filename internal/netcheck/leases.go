// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// leases are host-local's files, each with the id of a pod and the name of its interface in a line each.
func leases(_ context.Context, n *networks) (found []Finding, err error) {
	for dir, name := range n.leases {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if _, err := netip.ParseAddr(e.Name()); err != nil || !e.Type().IsRegular() {
				continue // the lock, or the last address given
			}
			path := filepath.Join(dir, e.Name())
			text, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			id, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\r\n")
			found = append(found, Finding{Kind: "lease", Name: path, Network: name, Pod: strings.TrimSpace(id),
				remove: func(ctx context.Context) error { return removeLease(ctx, path, text) }})
		}
	}
	return found, nil
}

// removeLease removes the file under host-local's own lock, if it says what it said.
func removeLease(ctx context.Context, path string, was []byte) error {
	unlock, err := lock(ctx, filepath.Join(filepath.Dir(path), "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	now, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(now, was) {
		return errors.New("it is somebody else's by now")
	}
	return os.Remove(path)
}

// lock waits for whoever has a lock at the moment.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		fd, err := kernel.LockFD(path)
		if err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is locked: %w", path, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
