// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/stdio"
)

// Load takes over the containers that an earlier daemon has recorded: those that run are
// watched again, the exit of those that ended meanwhile is reported, those that wait for
// their start go on waiting, and what a crash left half made is removed. Call it once,
// before anything else.
//
// Trouble with one container is logged and does not keep the others from loading. But a
// record of a version that is not known fails Load before it has changed anything:
// ErrFailedPrecondition.
func (m *Manager) Load(ctx context.Context) error {
	found, err := m.readAll()
	if err != nil {
		return fmt.Errorf("load containers: %w", err)
	}
	var loaded []*Container
	var sessions []*Exec
	for i := range found {
		c, err := m.load(ctx, &found[i])
		if errors.Is(err, errStuck) { // the record is all that tells of the cgroup
			log.G(ctx).WithError(err).WithField("container", found[i].key.String()).Error("remove what is left of a container")
			continue
		}
		if err != nil {
			m.clear(ctx, found[i].key, err)
			continue
		}
		m.add(c)
		loaded = append(loaded, c)
		sessions = append(sessions, found[i].addExecs(ctx, c)...)
	}
	m.pruneExits(loaded)
	for _, c := range loaded {
		if err := c.adopt(); err != nil {
			log.G(ctx).WithError(err).WithField("id", c.id).WithField("namespace", c.namespace).Error("adopt container")
		}
	}
	m.adopted.Add(uint64(len(loaded)))
	m.Store.Prune(keptPrefix)
	m.endSessions(sessions)
	return nil
}

// remains are what was found of a container.
type remains struct {
	key
	record record
	err    error // the record could not be read
	execs  []execRemains
}

type execRemains struct {
	file   string
	record execRecord
	err    error
}

// readAll reads all records. It fails when there is one that this daemon does not know how to read.
func (m *Manager) readAll() ([]remains, error) {
	namespaces, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, err
	}
	var found []remains
	for _, ns := range namespaces {
		entries, err := os.ReadDir(filepath.Join(m.Dir, ns.Name()))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			r := remains{key: key{ns.Name(), e.Name()}}
			if err := r.read(m.dir(r.key)); err != nil {
				return nil, err
			}
			found = append(found, r)
		}
	}
	return found, nil
}

func (r *remains) read(dir string) error {
	if r.err = readRecord(dir, recordName, &r.record); r.err != nil {
		return ofVersion(r.err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), execPrefix) {
			continue
		}
		e := execRemains{file: entry.Name()}
		if e.err = readRecord(dir, e.file, &e.record); ofVersion(e.err) != nil {
			return e.err
		}
		r.execs = append(r.execs, e)
	}
	return nil
}

// ofVersion returns err if it is about a version that is not known.
func ofVersion(err error) error {
	if errors.Is(err, errVersion) {
		return err
	}
	return nil
}

// clear removes what was found of a container that is none, because of cause.
func (m *Manager) clear(ctx context.Context, k key, cause error) {
	log.G(ctx).WithError(cause).WithField("container", k.String()).Warn("remove what is left of a container")
	if err := m.removeDir(k); err != nil {
		log.G(ctx).WithError(err).Error("remove what is left of a container")
	}
}

var (
	errHalfMade = errors.New("the daemon ended before it was created")
	errStuck    = errors.New("the daemon ended before it was created, and its cgroup cannot be removed; the next daemon tries again")
)

// load returns the container recorded as r, or an error if none was completed. Then
// nothing is left of it but the directory.
func (m *Manager) load(ctx context.Context, found *remains) (*Container, error) {
	if found.err != nil {
		return nil, found.err
	}
	r := &found.record
	cg, err := m.Cgroups.Open(r.Cgroup)
	if err != nil {
		return nil, err
	}
	c := &Container{
		key: found.key, manager: m, cgroup: cg, created: r.Created, state: Running, init: newProcess("", r.Stdio), waits: r.Waits,
		flags: flags{noNewKeyring: r.NoNewKeyring, sharedPID: r.SharedPID, postStart: r.PostStart, postStop: r.PostStop},
	}
	if r.Process == (exits.Identity{}) {
		if err := c.removeCgroup(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", errStuck, err)
		}
		return nil, errHalfMade
	}
	c.init.identity, c.init.ended, c.init.stdinClosed = r.Process, r.Exit, r.StdinClosed
	switch {
	case r.Exit != nil:
		c.state, c.over = Stopped, true
		close(c.init.gone)
		close(c.init.waited)
	case r.Waits:
		c.state = Created
	default:
		if frozen, err := cg.Frozen(); err == nil && frozen {
			c.state = Paused
		}
	}
	return c, nil
}

// addExecs adds the processes that were executed in c, and returns those of sessions, which are
// over.
func (r *remains) addExecs(ctx context.Context, c *Container) (sessions []*Exec) {
	for i := range r.execs {
		found := &r.execs[i]
		if found.err != nil {
			log.G(ctx).WithError(found.err).WithField("id", c.id).Warn("remove what is left of an exec")
			_ = os.Remove(filepath.Join(c.manager.dir(c.key), found.file))
			continue
		}
		e := newLoadedExec(c, &found.record)
		if found.record.Session {
			sessions = append(sessions, e)
			continue
		}
		if c.execs == nil {
			c.execs = map[string]*Exec{}
		}
		c.execs[e.ID()] = e
		if e.state == Running {
			c.live++
		}
	}
	return sessions
}

func newLoadedExec(c *Container, r *execRecord) *Exec {
	e := &Exec{container: c, process: newProcess(r.ID, r.Stdio), state: Running}
	e.process.identity, e.process.ended, e.process.stdinClosed = r.Process, r.Exit, r.StdinClosed
	if r.Exit != nil {
		e.state = Stopped
		close(e.process.gone)
		close(e.process.waited)
	}
	return e
}

// endSessions ends the processes of clients that were connected to an earlier daemon. One that has
// ended by itself may have left others in the background, which are spared as always.
func (m *Manager) endSessions(sessions []*Exec) {
	if len(sessions) == 0 {
		return
	}
	m.goOn(func(ctx context.Context) {
		for _, e := range sessions {
			e.process.pidfd = openIdentified(e.process.identity)
			if err := e.KillTree(ctx); err != nil && !errdefs.IsNotFound(err) {
				log.G(ctx).WithError(err).Error("end a command whose client has gone with the daemon")
			}
			if ctx.Err() != nil {
				return // the records tell the next daemon
			}
			e.process.release()
			if err := e.remove(); err != nil {
				log.G(ctx).WithError(err).Warn("remove the record of an exec")
			}
		}
	})
}

// pruneExits forgets recorded exits that belong to none of the containers.
func (m *Manager) pruneExits(loaded []*Container) {
	known := map[exits.Identity]bool{}
	for _, c := range loaded {
		known[c.init.identity] = true
		for _, e := range c.execs {
			known[e.process.identity] = true
		}
	}
	m.Exits.Prune(func(id exits.Identity) bool { return known[id] })
}

// adopt has the ends of the container's processes reported.
func (c *Container) adopt() error {
	if c.state != Stopped && c.manager.OOM != nil {
		if err := c.manager.OOM.Add(c.cgroup, c.oomKilled); err != nil {
			log.L.WithError(err).WithField("id", c.id).Warn("out-of-memory kills in the container will not be reported")
		}
	}
	var errs []error
	for _, e := range c.execs {
		errs = append(errs, c.adoptProcess(e.process))
	}
	return errors.Join(append(errs, c.adoptProcess(c.init))...)
}

func (c *Container) adoptProcess(p *process) error {
	if p.ended != nil {
		if p.stdio.Terminal { // the last that it has written may wait to be copied
			c.resumeStreams(p, true)
		}
		return nil
	}
	var watched *os.File
	err := c.locked(func() (err error) {
		c.resumeStreams(p, p.stdinClosed)
		if watched, err = c.findProcess(p); err == nil && p == c.init {
			c.resumeStart()
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.manager.Exits.Adopt(p.identity, watched, func(s exits.Status) { c.ended(p, s) })
}

func (c *Container) resumeStreams(p *process, stdinClosed bool) {
	var err error
	if p.streams, err = stdio.Resume(p.stdio, c.stdioOptions(p, -1), stdinClosed); err != nil {
		log.L.WithError(err).WithField("id", c.id).Warn("the terminal of a process is lost")
	}
}

// findProcess opens the pidfd of p, and returns a duplicate to be watched; nil when the process is
// gone and nothing was kept of it. mu is held.
func (c *Container) findProcess(p *process) (watched *os.File, err error) {
	kept := c.shelf(p).takeOne(rolePidfd)
	if p.pidfd = kept; kept == nil {
		p.pidfd = openIdentified(p.identity)
	}
	if p.pidfd == nil {
		return nil, nil
	}
	if kept == nil {
		c.keepPidfd(p)
	}
	return kernel.Dup(p.pidfd)
}

// resumeStart takes the first process of a container over that waits for its start, or that was
// told and may not have heard it. mu is held.
func (c *Container) resumeStart() {
	control := c.shelf(c.init).takeOne(roleControl)
	if control == nil {
		return // it runs, or it ends with the last descriptor of its control socket
	}
	handle, err := launch.Resume(control, c.Pid(), c.init.pidfd, c.passListenerLater)
	if err != nil {
		log.L.WithError(err).WithField("id", c.id).Warn("a container that waited for its start ends")
		c.shelf(c.init).Drop(roleControl)
		return
	}
	c.init.handle = handle
	if c.waits {
		return
	}
	c.state, c.init.held = Created, true
	c.op.Lock()
	c.manager.goOn(c.finishStart)
}

// passListenerLater is passListener for a container whose spec is to be read first.
func (c *Container) passListenerLater(ctx context.Context, pid int, listener *os.File) error {
	spec, err := c.readSpec()
	if err != nil {
		listener.Close()
		return err
	}
	return c.passListener(ctx, spec, pid, listener)
}

// openIdentified returns a pidfd of the process id, nil when it is gone: signals then get
// ErrNotFound until its exit is reported.
func openIdentified(id exits.Identity) *os.File {
	fd, err := kernel.PidfdOpen(id.Pid)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if now, err := exits.ReadIdentity(id.Pid); err != nil || now != id {
		f.Close()
		return nil
	}
	return f
}
