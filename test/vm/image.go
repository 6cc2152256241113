// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// recipe is everything that decides what the base image holds, apart from the
// day's state of Debian.
//
//go:embed recipe
var recipe embed.FS

// baseImage is a directory of the cache: a Debian that runs the payload disk's
// script, and the kernel and initramfs to boot it with. Nothing writes to it
// once it is there.
type baseImage struct {
	dir string
}

func (b baseImage) disk() string   { return filepath.Join(b.dir, "disk.ext4") }
func (b baseImage) kernel() string { return filepath.Join(b.dir, "vmlinuz") }
func (b baseImage) initrd() string { return filepath.Join(b.dir, "initrd.img") }

// diskSize is the size of the guest's root file system. The file is sparse.
const diskSize = "4G"

// openBase returns the cached image of the current recipe, made if it is
// missing or rebuild says so.
func openBase(ctx context.Context, cache, mirror string, rebuild bool) (baseImage, error) {
	unlock, err := lockCache(cache)
	if err != nil {
		return baseImage{}, err
	}
	defer unlock()
	base := baseImage{dir: filepath.Join(cache, "base-"+recipeHash())}
	if _, err := os.Stat(base.dir); err == nil && !rebuild {
		return base, nil
	}
	if os.Geteuid() != 0 {
		return baseImage{}, errors.New("making the base image needs root (mmdebstrap, and owners in the image)")
	}
	began := time.Now()
	fmt.Println("vm: making the base image with mmdebstrap")
	if err := base.make(ctx, cache, mirror); err != nil {
		return baseImage{}, fmt.Errorf("make base image: %w", err)
	}
	fmt.Printf("vm: base image made in %s\n", since(began))
	return base, nil
}

// lockCache makes a second runner wait for the first one's image.
func lockCache(cache string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// recipeHash identifies the image by what it is made from. The mirror is not
// part of it: the packages are the same wherever they come from.
func recipeHash() string {
	sum := sha256.New()
	fmt.Fprintln(sum, release, diskSize)
	// Neither walking nor reading an embedded file system fails.
	_ = fs.WalkDir(recipe, "recipe", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := recipe.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(data), data)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// make fills a temporary directory and renames it, so that an interrupted run
// leaves no half image behind a good name.
func (b baseImage) make(ctx context.Context, cache, mirror string) error {
	sources, err := mirrors(mirror)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := writeRecipe(tmp); err != nil {
		return err
	}
	root := filepath.Join(tmp, "root")
	if err := fetch(ctx, func() error {
		return errors.Join(os.RemoveAll(root), debootstrap(ctx, tmp, root, sources))
	}); err != nil {
		return err
	}
	out := baseImage{dir: filepath.Join(tmp, "image")}
	if err := os.Mkdir(out.dir, 0o755); err != nil {
		return err
	}
	if err := errors.Join(
		moveOne(filepath.Join(root, "boot/vmlinuz-*"), out.kernel()),
		moveOne(filepath.Join(root, "boot/initrd.img-*"), out.initrd()),
	); err != nil {
		return err
	}
	if err := makeDisk(ctx, root, out.disk(), diskSize); err != nil {
		return err
	}
	if err := os.RemoveAll(b.dir); err != nil {
		return err
	}
	return os.Rename(out.dir, b.dir)
}

// writeRecipe puts the hooks where mmdebstrap can run them.
func writeRecipe(dir string) error {
	entries, err := recipe.ReadDir("recipe")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		data, err := recipe.ReadFile("recipe/" + entry.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, entry.Name()), data, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func debootstrap(ctx context.Context, dir, root string, sources []string) error {
	packages, err := recipe.ReadFile("recipe/packages")
	if err != nil {
		return err
	}
	args := []string{
		"--mode=root", "--variant=minbase", "--architectures=amd64",
		"--include=" + strings.Join(strings.Fields(string(packages)), ","),
		"--essential-hook=" + filepath.Join(dir, "essential"),
		"--customize-hook=" + filepath.Join(dir, "customize"),
		"--dpkgopt=force-unsafe-io",
	}
	for _, path := range []string{"doc", "man", "locale", "info"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+path+"/*")
	}
	for _, option := range proxies() {
		args = append(args, "--aptopt="+option)
	}
	args = append(args, release, root)
	return runQuiet(exec.CommandContext(ctx, "mmdebstrap", append(args, sources...)...))
}

// makeDisk makes an ext4 image of a directory, without mounting anything. A
// journal would protect a file system nobody opens twice.
func makeDisk(ctx context.Context, dir, image, size string) error {
	return runQuiet(exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal",
		"-E", "root_owner=0:0", "-d", dir, image, size))
}

// moveOne moves the only file matching pattern.
func moveOne(pattern, to string) error {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("want one %s, found %d", pattern, len(found))
	}
	return os.Rename(found[0], to)
}

// runQuiet runs a command whose output only matters when it fails.
func runQuiet(cmd *exec.Cmd) error {
	cmd.WaitDelay = 5 * time.Second // for children of one that was killed
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

// fetch calls a function that downloads, again when it fails: mirrors do, for a moment.
func fetch(ctx context.Context, f func() error) error {
	for _, pause := range []time.Duration{5 * time.Second, 20 * time.Second} {
		err := f()
		if err == nil {
			return nil
		}
		fmt.Printf("vm: %v\nvm: once more in %s\n", err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return f()
}
