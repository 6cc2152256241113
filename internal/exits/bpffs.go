// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/kernel"
)

// prepareDir makes opts.BPFDir and sees to it that it is on a bpffs.
func prepareDir(opts Options) error {
	if opts.MountBPFFS != "" {
		if err := mountBPFFS(opts.MountBPFFS); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(opts.BPFDir, 0o700); err != nil {
		return fmt.Errorf("make directory for eBPF pins (is a bpffs mounted?): %w", err)
	}
	ok, err := onBPFFS(opts.BPFDir)
	if err == nil && !ok {
		err = fmt.Errorf("%s is not on a bpffs; mount one with: mount -t bpf bpf /sys/fs/bpf: %w",
			opts.BPFDir, errdefs.ErrFailedPrecondition)
	}
	return err
}

func mountBPFFS(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make mount point for bpffs: %w", err)
	}
	if ok, err := onBPFFS(dir); err != nil || ok {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME
	return kernel.Mount("bpf", dir, "bpf", flags, "mode=0700")
}

func onBPFFS(dir string) (bool, error) {
	var statfs unix.Statfs_t
	if err := unix.Statfs(dir, &statfs); err != nil {
		return false, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return statfs.Type == unix.BPF_FS_MAGIC, nil
}
