// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/netif"
)

// netSysctls is the directory that shows the sysctls of the network namespace of the thread that looks.
const netSysctls = "/proc/sys/net"

// sysctlLimit bounds what is read of one: none of the network's is longer than a page.
const sysctlLimit = 4096

// sysctl is one to be set. path is relative to netSysctls.
type sysctl struct{ path, value string }

// sysctlPaths translates names into paths, in the order of the names. IFNAME in a name stands for the interface, once,
// and after the dots have become slashes: interfaces may have dots in their names.
func sysctlPaths(values sysctls, ifName string) ([]sysctl, error) {
	keys := make([]sysctl, 0, len(values))
	for name, value := range values {
		key := strings.Replace(strings.ReplaceAll(name, ".", "/"), "IFNAME", ifName, 1)
		path, ok := strings.CutPrefix(filepath.Join("/", key), "/net/")
		if !ok || slices.Contains(strings.Split(key, "/"), "..") || strings.ContainsRune(key, 0) {
			return nil, fmt.Errorf("invalid net sysctl key: %q", key)
		}
		keys = append(keys, sysctl{path: path, value: value})
	}
	slices.SortFunc(keys, func(a, b sysctl) int { return strings.Compare(a.path, b.path) })
	return keys, nil
}

// setSysctls writes all, in one visit of the namespace. On error, or by undo, those written get their old values.
func setSysctls(ns *netif.Namespace, keys []sysctl) (undo func() error, err error) {
	undo = func() error { return nil }
	if len(keys) == 0 {
		return undo, nil
	}
	var before []sysctl
	write := func(dir int) error {
		for _, k := range keys {
			old, readErr := readSysctl(dir, k.path)
			if err := kernel.WriteFile(dir, k.path, k.value); err != nil {
				return fmt.Errorf("sysctl net/%s: %w", k.path, errors.Join(err, writeBack(dir, before)))
			}
			if readErr == nil { // some can only be written
				before = append(before, sysctl{path: k.path, value: old})
			}
		}
		return nil
	}
	if err := inside(ns, write); err != nil {
		return undo, err
	}
	return func() error {
		return inside(ns, func(dir int) error { return writeBack(dir, before) })
	}, nil
}

func writeBack(dir int, before []sysctl) error {
	var errs []error
	for _, k := range slices.Backward(before) {
		if err := kernel.WriteFile(dir, k.path, k.value); err != nil {
			errs = append(errs, fmt.Errorf("sysctl net/%s was not undone: %w", k.path, err))
		}
	}
	return errors.Join(errs...)
}

func checkSysctls(ns *netif.Namespace, keys []sysctl) error {
	if len(keys) == 0 {
		return nil
	}
	return inside(ns, func(dir int) error {
		for _, k := range keys {
			now, err := readSysctl(dir, k.path)
			if err != nil {
				return fmt.Errorf("sysctl net/%s: %w", k.path, err)
			}
			if now != k.value {
				return fmt.Errorf("tuning: sysctl net/%s is %q, configured is %q", k.path, now, k.value)
			}
		}
		return nil
	})
}

// inside calls f with the namespace's own netSysctls.
func inside(ns *netif.Namespace, f func(dir int) error) error {
	return ns.Do(func() error {
		dir, err := kernel.Open(netSysctls, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer dir.Close()
		return f(int(dir.Fd()))
	})
}

// readSysctl returns a value without the newline at its end.
func readSysctl(dir int, path string) (string, error) {
	fd, err := kernel.OpenBeneath(dir, path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, sysctlLimit))
	return strings.TrimSuffix(string(text), "\n"), err
}

// allowed checks sysctls, by the names the configuration gives them, against the allowlist. No file allows all.
func (p *Plugin) allowed(values sysctls) error {
	if len(values) == 0 {
		return nil
	}
	text, err := os.ReadFile(p.allowlist)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return matchAll(values, string(text))
}

func matchAll(values sysctls, allowlist string) error {
	var patterns []*regexp.Regexp
	for line := range strings.Lines(allowlist) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		pattern, err := regexp.Compile(line)
		if err != nil {
			return fmt.Errorf("allowlist of sysctls: %w", err)
		}
		patterns = append(patterns, pattern)
	}
	for name := range values {
		if !slices.ContainsFunc(patterns, func(r *regexp.Regexp) bool { return r.MatchString(name) }) {
			return fmt.Errorf("Sysctl %s is not allowed. Only the following sysctls are allowed: %v", name, patterns) //nolint:staticcheck // the reference plugin's words
		}
	}
	return nil
}
