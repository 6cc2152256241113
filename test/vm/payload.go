// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// guestScript is what the base image's unit runs from the payload disk.
//
//go:embed payload.sh
var guestScript []byte

// payload is the tree that becomes the read-only second disk:
//
//	run        the guest's script
//	bin/       the repository's bin/, tools included
//	install/   what make install would put on the root file system
//	list       one line per package: its directory, and what to skip
//	tests/     the compiled tests, by package directory
//	src/       the packages' testdata, and the directory each test starts in
type payload struct {
	dir   string
	suite []tests
}

// newPayload fills dir from the repository in the working directory.
func newPayload(ctx context.Context, dir string, suite []tests) (payload, error) {
	p := payload{dir: dir}
	for _, name := range []string{"bin", "tests", "src"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return p, err
		}
	}
	for _, t := range suite {
		if !hasTests(t.dir) {
			fmt.Printf("vm: %s has no tests, left out\n", t.dir)
			continue
		}
		p.suite = append(p.suite, t)
	}
	return p, errors.Join(p.addBinaries(ctx), p.addTests(ctx),
		os.WriteFile(filepath.Join(dir, "run"), guestScript, 0o755),
		os.WriteFile(filepath.Join(dir, "list"), p.list(), 0o644))
}

func (p payload) list() []byte {
	var list []byte
	for _, t := range p.suite {
		list = fmt.Appendf(list, "%s %s\n", t.dir, t.skip)
	}
	return list
}

func hasTests(pkg string) bool {
	found, _ := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	return len(found) > 0
}

// addBinaries links what make built into the tree, and installs it the way a
// user would.
func (p payload) addBinaries(ctx context.Context) error {
	if _, err := os.Stat("bin/sardined"); err != nil {
		return fmt.Errorf("nothing to test, run make first: %w", err)
	}
	if err := copyTree("bin", filepath.Join(p.dir, "bin"), isProgram); err != nil {
		return err
	}
	// The binaries are there: -o keeps make from asking go about them again.
	return runQuiet(exec.CommandContext(ctx, "make", "-o", "all", "install", "PREFIX=/usr/local",
		"DESTDIR="+filepath.Join(p.dir, "install")))
}

// isProgram leaves out of bin/ the tools for people who write code, and large programs of tests that do not run there. Some of them are being
// built meanwhile, and make files that are gone the next moment.
func isProgram(path string) bool {
	name := filepath.Base(path)
	for _, other := range []string{".", "golangci", "kubelet", "critest", "promtool"} {
		if strings.HasPrefix(name, other) {
			return false
		}
	}
	return true
}

// addTests compiles the packages' tests, static since the guest's C library may
// be older than ours. The tag vm adds those that only the guest can run.
func (p payload) addTests(ctx context.Context) error {
	for _, t := range p.suite {
		pkg := t.dir
		binary := filepath.Join(p.dir, "tests", pkg)
		if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary,
			"-tags", "vm,netgo,osusergo,static_build,seccomp", "-ldflags", "-s -w -extldflags=-static", "./"+pkg)
		if err := runQuiet(cmd); err != nil {
			return fmt.Errorf("compile the tests of %s: %w", pkg, err)
		}
		src := filepath.Join(p.dir, "src", pkg)
		if err := os.MkdirAll(src, 0o755); err != nil {
			return err
		}
		if err := copyTree(filepath.Join(pkg, "testdata"), filepath.Join(src, "testdata"), nil); err != nil {
			return err
		}
	}
	return nil
}

// disk makes the image of the tree.
func (p payload) disk(ctx context.Context, image string) error {
	var bytes int64
	err := filepath.WalkDir(p.dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		bytes += info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	// Room for ext4's own tables; the file is sparse.
	return makeDisk(ctx, p.dir, image, strconv.FormatInt(bytes*5/4>>20+64, 10)+"M")
}

// copyTree copies regular files, as hard links where it can. A tree that is not
// there is an empty one.
func copyTree(from, to string, want func(path string) bool) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular() || want != nil && !want(path):
			return nil
		}
		return linkOrCopy(path, target)
	})
}

func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}
