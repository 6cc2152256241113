// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// nearestExisting returns path or the closest directory above it that exists: the file
// system on which path would be made.
func nearestExisting(path string) string {
	path = filepath.Clean(path)
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
		if parent := filepath.Dir(path); parent != path {
			path = parent
			continue
		}
		return path
	}
}

// storage looks at the file system of the root directory, of which dir exists.
func storage(dir, root string) []Finding {
	where := Finding{Name: "root directory", Verdict: OK, Detail: root}
	if dir != filepath.Clean(root) {
		where.Verdict, where.Detail = Info, fmt.Sprintf("%s does not exist yet; looking at %s", root, dir)
	}
	return []Finding{where, freeSpace(dir), freeInodes(dir), syncLatency(dir)}
}

func freeSpace(dir string) Finding {
	const enough = 2 << 30
	f := Finding{Name: "free space", Lost: "images do not fit", Advice: "make room, or put the root directory elsewhere (root in config.toml)"}
	var statfs unix.Statfs_t
	err := unix.Statfs(dir, &statfs)
	free := statfs.Bavail * uint64(statfs.Bsize)
	f = f.found(fmt.Sprintf("%s of %s, %s", gigabytes(free), gigabytes(statfs.Blocks*uint64(statfs.Bsize)), fsName(statfs.Type)), err)
	if err == nil && free < enough {
		f.Verdict = Missing
	}
	return f
}

func freeInodes(dir string) Finding {
	const enough = 100_000
	f := Finding{Name: "free inodes", Lost: "images of many files do not fit", Advice: "a file system with more inodes (mkfs.ext4 -N, XFS, btrfs)"}
	var statfs unix.Statfs_t
	err := unix.Statfs(dir, &statfs)
	f = f.found(fmt.Sprintf("%d of %d", statfs.Ffree, statfs.Files), err)
	switch {
	case err == nil && statfs.Files == 0:
		f.Detail = "made on demand"
	case err == nil && statfs.Ffree < enough:
		f.Verdict = Missing
	}
	return f
}

func gigabytes(bytes uint64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }

func fsName(magic int64) string {
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC:      "ext4",
		unix.XFS_SUPER_MAGIC:       "XFS",
		unix.BTRFS_SUPER_MAGIC:     "btrfs",
		unix.TMPFS_MAGIC:           "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay",
		unix.F2FS_SUPER_MAGIC:      "F2FS",
		unix.NFS_SUPER_MAGIC:       "NFS",
	}
	if name, ok := names[magic]; ok {
		return name
	}
	return fmt.Sprintf("file system %#x", magic)
}

// syncLatency times what a commit of image metadata waits for.
func syncLatency(dir string) Finding {
	const slow = 50 * time.Millisecond
	f := Finding{Name: "fdatasync", Lost: "pulling and removing images waits for the disk (containers do not)",
		Advice: "a faster disk for the root directory"}
	median, err := medianSync(dir)
	f = f.found(fmt.Sprintf("%.2f ms, median of %d", float64(median.Microseconds())/1000, syncRounds), err)
	if errors.Is(err, unix.EROFS) {
		f.Verdict, f.Lost, f.Advice = Missing, "nothing can be stored", "mount "+dir+" writable"
	} else if err == nil && median > slow {
		f.Verdict = Missing
	}
	return f
}

// syncRounds is how many writes are timed.
const syncRounds = 9

// medianSync appends to a file below dir and syncs, as a database's log does.
func medianSync(dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, ".sardine-doctor-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, 4096)
	times := make([]time.Duration, syncRounds)
	for i := range times {
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return 0, fmt.Errorf("fdatasync %s: %w", file.Name(), err)
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// stateDirectory must be empty after a reboot: sardined takes what it finds there for
// containers that run.
func stateDirectory(state string) []Finding {
	f := Finding{Name: "state directory", Verdict: OK, Detail: state + " is on tmpfs",
		Lost:   "each start and stop writes to a disk, and records of containers outlive a reboot",
		Advice: "a tmpfs on /run"}
	var statfs unix.Statfs_t
	dir := nearestExisting(state)
	if err := unix.Statfs(dir, &statfs); err != nil {
		return []Finding{f.found("", &fs.PathError{Op: "statfs", Path: dir, Err: err})}
	}
	if statfs.Type != unix.TMPFS_MAGIC && statfs.Type != unix.RAMFS_MAGIC {
		f.Verdict, f.Detail = Missing, fmt.Sprintf("%s is on %s", state, fsName(statfs.Type))
	}
	return []Finding{f}
}
