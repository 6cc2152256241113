// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// volumePrefix of a path says that it is one in a volume.
const volumePrefix = "volume:"

// skew is how far in the future a file may have been modified: clocks of file servers differ. One modified
// later would be fresh for as long as its writer likes.
const skew = 5 * time.Second

// file is the probe of a file's modification time.
type file struct {
	path     string // in the container's root, or in the volume
	volume   string // "" for the root
	validity time.Duration
}

func parseFile(operand string, flags map[string][]string) (Probe, error) {
	f := file{path: operand}
	if rest, ok := strings.CutPrefix(operand, volumePrefix); ok {
		f.volume, f.path, _ = strings.Cut(rest, "/")
		f.path = strings.TrimLeft(f.path, "/")
		if f.volume == "" || f.volume == "." || f.volume == ".." || f.path == "" {
			return nil, fmt.Errorf("%q: want volume:NAME/PATH", shorten(operand))
		}
		if len(f.volume) > unix.NAME_MAX {
			return nil, fmt.Errorf("%q: the name of the volume is too long", shorten(operand))
		}
	} else if !strings.HasPrefix(operand, "/") {
		return nil, fmt.Errorf("%q: the path is not absolute, and not volume:NAME/PATH", shorten(operand))
	}
	if len(f.path) >= unix.PathMax {
		return nil, fmt.Errorf("%q: a path has at most %d bytes", shorten(operand), unix.PathMax-1)
	}
	text, given, err := once(flags, "validity")
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, errors.New("--validity is missing: how long ago may the file have been modified?")
	}
	if f.validity, err = time.ParseDuration(text); err != nil {
		return nil, fmt.Errorf("--validity %q: want a duration, such as 30s or 1m30s", shorten(text))
	}
	if f.validity <= 0 {
		return nil, fmt.Errorf("--validity %s: must be more than nothing", text)
	}
	return f, nil
}

func (file) kind() string { return "file" }

// name is the operand again.
func (f file) name() string {
	if f.volume == "" {
		return f.path
	}
	return volumePrefix + f.volume + "/" + f.path
}

func (f file) ask(a asked) Answer {
	stat, err := a.lookups.do(a.ctx, a.target.ID(), f.name(), func() (unix.Stat_t, error) { return f.look(a.target) })
	if err != nil {
		return bad("file %s: %s", shorten(f.name()), describe(err))
	}
	ok, found := f.judge(&stat, time.Now())
	return Answer{ok, fmt.Sprintf("file %s: %s", shorten(f.name()), found)}
}

// look may hang for as long as a file system does: the caller does not wait for it.
func (f file) look(t Target) (unix.Stat_t, error) {
	fd, err := f.open(t)
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer unix.Close(fd)
	return kernel.Fstat(fd, f.path)
}

func (f file) open(t Target) (int, error) {
	if f.volume == "" {
		return openBelow(t.Root, f.path, kernel.OpenInRoot)
	}
	return openBelow(func() (*os.File, error) { return t.Volume(f.volume) }, f.path, kernel.OpenBeneath)
}

func openBelow(directory func() (*os.File, error), path string, open func(int, string, uint64, uint64) (int, error)) (int, error) {
	dir, err := directory()
	if err != nil {
		return -1, err
	}
	defer dir.Close()
	return open(int(dir.Fd()), path, unix.O_PATH, 0)
}

// judge says what stat means at a moment.
func (f file) judge(stat *unix.Stat_t, now time.Time) (ok bool, found string) {
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG {
		return false, "is " + kindName(kind) + ", and only regular files are looked at"
	}
	modified := time.Unix(stat.Mtim.Unix())
	age := now.Sub(modified)
	switch {
	case age < -skew:
		return false, fmt.Sprintf("modified %s in the future: who sets that time, or whose clock is it?", span(-age))
	case age < 0:
		return true, fmt.Sprintf("modified %s in the future, valid for %v", span(-age), f.validity)
	case age > f.validity:
		return false, fmt.Sprintf("modified %s ago, valid for %v", span(age), f.validity)
	}
	return true, fmt.Sprintf("modified %s ago, valid for %v", span(age), f.validity)
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "of no known kind"
}

// span is a duration without digits that nobody reads.
func span(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// describe tells a failed look in words.
func describe(err error) string {
	var call *kernel.Error
	if !errors.As(err, &call) {
		return shorten(err.Error())
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return "does not exist"
	case errors.Is(err, unix.ENOTDIR):
		return "a part of the path is not a directory"
	case errors.Is(err, unix.EXDEV):
		return "a symbolic link or .. leads out of the volume"
	case errors.Is(err, unix.ELOOP):
		return "too many symbolic links, or one of those in /proc that are none"
	case errors.Is(err, unix.ENAMETOOLONG):
		return "a name in the path is too long"
	case errors.Is(err, unix.EACCES):
		return "the file system does not let the node look"
	}
	return call.Err.Error()
}
