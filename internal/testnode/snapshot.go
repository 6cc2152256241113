// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

// Options say what belongs to a test.
type Options struct {
	// Dirs are directories that the test made. A mount or a process that
	// mentions one of them is the test's.
	Dirs []string
	// Cgroups are the paths, from a hierarchy's root, below which the test's
	// cgroups lie, "/e2e-4711" for example.
	Cgroups []string
	// Files are directories, missing or not, whose files are compared.
	Files []string
	// Daemon returns the pid of a daemon whose children and descriptors are
	// compared, and 0 while there is none. Nil is no daemon.
	Daemon func() int
	// Everything counts whatever mount, cgroup and namespace is new on the node,
	// but for what another's process is in, and processes of our programs.
	Everything bool
	// Ignore exempts leaks, for what is known and harmless. Nil ignores none.
	Ignore func(Leak) bool
}

// Snapshot is a node at one moment.
type Snapshot struct {
	opts       Options
	processes  map[processID]process
	owned      map[int]bool // pids of the processes that are the test's
	mounts     map[mount]bool
	cgroups    map[string]bool
	namespaces map[string][]string // "net:[4026531840]" to its holders
	self       map[string]int      // kind of descriptor to their number
	daemon     map[string]int
	files      map[string]bool
}

// Leak is one thing that was not there before.
type Leak struct {
	Kind   string // process, mount, cgroup, namespace, descriptor, file
	Name   string
	Detail string
}

func (l Leak) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", l.Kind, l.Name, l.Detail))
}

// Take records the node as it is now. What goes away while it reads is left out.
func Take(opts Options) (*Snapshot, error) {
	settleRuntime()
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	s := &Snapshot{opts: opts, mounts: mounts, cgroups: readCgroups(mounts), files: readFiles(opts.Files)}
	if s.processes, err = readProcesses(); err != nil {
		return nil, err
	}
	s.markOwned()
	s.namespaces = s.readNamespaces()
	s.self = readDescriptors(os.Getpid())
	if pid := s.daemonPID(); pid != 0 {
		s.daemon = readDescriptors(pid)
	}
	return s, nil
}

// Diff lists what is in after and was not in before, as after's options say.
func Diff(before, after *Snapshot) []Leak {
	var leaks []Leak
	leaks = append(leaks, diffProcesses(before, after)...)
	leaks = append(leaks, diffMounts(before, after)...)
	leaks = append(leaks, diffCgroups(before, after)...)
	leaks = append(leaks, diffNamespaces(before, after)...)
	leaks = append(leaks, diffDescriptors("the test", before.self, after.self)...)
	if before.daemon != nil && after.daemon != nil {
		leaks = append(leaks, diffDescriptors("the daemon", before.daemon, after.daemon)...)
	}
	leaks = append(leaks, diffFiles(before, after)...)
	return after.opts.filter(leaks)
}

func (o *Options) filter(leaks []Leak) []Leak {
	var kept []Leak
	for _, l := range leaks {
		if o.Ignore == nil || !o.Ignore(l) {
			kept = append(kept, l)
		}
	}
	sort.Slice(kept, func(i, j int) bool { return kept[i].String() < kept[j].String() })
	return kept
}

func (s *Snapshot) daemonPID() int {
	if s.opts.Daemon == nil {
		return 0
	}
	return s.opts.Daemon()
}

// mentions tells whether text names something below one of the test's directories.
func (o *Options) mentions(text string) bool {
	for _, dir := range o.Dirs {
		if strings.Contains(text, dir) {
			return true
		}
	}
	return false
}

// inCgroup tells whether a path from the hierarchy's root is one of the test's.
func (o *Options) inCgroup(path string) bool {
	for _, prefix := range o.Cgroups {
		if path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
			return true
		}
	}
	return false
}
