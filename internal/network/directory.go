// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// directory is a directory of network configurations.
//
// It is looked at when somebody needs to know, which costs one readdir and a few stats, and
// read when it has changed. That sees what inotify does not: files behind symbolic links, a
// directory made, replaced or mounted over later; and a pod never gets an outdated network
// because an event is still on its way.
type directory struct {
	path string
	max  int // files that are used, 0 for all
	// otherwise is used while there is no configuration file. Nil: nothing is.
	otherwise func() (*configuration, error)

	mu     sync.Mutex
	loaded *configuration
}

// configuration is what a directory said at one moment. It is not changed after.
type configuration struct {
	networks []*network
	problems []error // files that were passed over
	ours     bool    // from no file

	stamp string // of the directory
	racy  bool   // files changed so shortly before that a further change may not show in their times
}

const (
	// racyTime is more than a tick of the clock that file times are taken from.
	racyTime = 100 * time.Millisecond
	// writeTime is how long an unreadable file may be one that is just being written. Until
	// then no network is used, rather than the one of the next file.
	writeTime = time.Second
)

// current reads the directory unless it is as it was last time.
func (d *directory) current() *configuration {
	d.mu.Lock()
	defer d.mu.Unlock()
	stamp, changed := d.look()
	if d.loaded != nil && !d.loaded.racy && d.loaded.stamp == stamp {
		return d.loaded
	}
	c := d.read()
	age := time.Since(changed)
	c.stamp, c.racy = stamp, age >= 0 && age < racyTime
	if d.otherwise != nil && len(c.networks)+len(c.problems) == 0 {
		c = d.withoutFiles(stamp)
	}
	if len(c.problems) > 0 && age >= 0 && age < writeTime {
		c.racy, c.networks = true, nil
	}
	d.report(c)
	d.loaded = c
	return c
}

// report logs what differs from last time.
func (d *directory) report(c *configuration) {
	if d.loaded != nil && d.loaded.stamp == c.stamp && d.loaded.summary() == c.summary() {
		return
	}
	for _, err := range c.problems {
		log.L.WithError(err).Warn("cni: a network configuration is passed over")
	}
	log.L.WithField("dir", d.path).WithField("networks", c.summary()).Info("cni: network configuration read")
}

func (c *configuration) summary() string {
	names := make([]string, len(c.networks))
	for i, n := range c.networks {
		names[i] = n.ifName + "=" + n.list.Name
	}
	return strings.Join(names, " ")
}

// look identifies the state of all files that read would read, by inode, size and times, and
// tells when the last of them changed.
func (d *directory) look() (stamp string, changed time.Time) {
	var s strings.Builder
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err.Error(), time.Time{}
	}
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name())
		if e.IsDir() { // plugins of the network of that name
			inner, _ := os.ReadDir(path)
			for _, p := range inner {
				changed = later(changed, stampFile(&s, filepath.Join(path, p.Name())))
			}
		} else if isConfiguration(path) {
			changed = later(changed, stampFile(&s, path))
		}
	}
	return s.String(), changed
}

func stampFile(s *strings.Builder, path string) time.Time {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		fmt.Fprintf(s, "%s %v\n", path, err)
		return time.Time{}
	}
	fmt.Fprintf(s, "%s %d %d %d %d %d\n", path, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
	return later(time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix()))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func isConfiguration(path string) bool {
	switch filepath.Ext(path) {
	case ".conf", ".conflist", ".json":
		return true
	}
	return false
}

// read loads the directory's first files, in lexical order. Unusable ones are passed over.
func (d *directory) read() *configuration {
	c := &configuration{}
	entries, err := os.ReadDir(d.path) // sorted by name
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.problems = append(c.problems, err)
	}
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name())
		if e.IsDir() || !isConfiguration(path) {
			continue
		}
		if d.max > 0 && len(c.networks) == d.max {
			break
		}
		list, err := loadFile(path)
		if err != nil {
			c.problems = append(c.problems, fmt.Errorf("%s: %w", path, err))
			continue
		}
		c.networks = append(c.networks, &network{list: list, ifName: fmt.Sprintf("eth%d", len(c.networks))})
	}
	return c
}

// withoutFiles is what holds while there is no configuration file. When that cannot be had it is tried again the next time.
func (d *directory) withoutFiles(stamp string) *configuration {
	c, err := d.otherwise()
	if err != nil {
		return &configuration{problems: []error{err}, stamp: stamp, racy: true}
	}
	c.stamp, c.ours = stamp, true
	return c
}

// usable is nil when there is a network. ErrUnavailable: it may come.
func (d *directory) usable(c *configuration) error {
	switch {
	case len(c.networks) > 0:
		return nil
	case len(c.problems) > 0:
		return fmt.Errorf("no usable network configuration in %s: %w: %w", d.path, errors.Join(c.problems...), errdefs.ErrUnavailable)
	}
	return fmt.Errorf("no network configuration in %s: %w", d.path, errdefs.ErrUnavailable)
}
