// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/stdio"
)

// Load takes over the containers that an earlier daemon has recorded: those that run are
// watched again, the exit of those that ended meanwhile is reported, and what a crash
// left half made is removed. Call it once, before anything else.
//
// Trouble with one container is logged and does not keep the others from loading.
func (m *Manager) Load(ctx context.Context) error {
	loaded, err := m.readAll(ctx)
	if err != nil {
		return fmt.Errorf("load containers: %w", err)
	}
	m.pruneExits(loaded)
	for _, c := range loaded {
		if err := c.adopt(); err != nil {
			log.G(ctx).WithError(err).WithField("id", c.id).WithField("namespace", c.namespace).Error("adopt container")
		}
	}
	return nil
}

// readAll finds the directories and reads their records.
func (m *Manager) readAll(ctx context.Context) ([]*Container, error) {
	namespaces, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, err
	}
	var loaded []*Container
	for _, ns := range namespaces {
		entries, err := os.ReadDir(filepath.Join(m.Dir, ns.Name()))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			k := key{ns.Name(), e.Name()}
			c, err := m.read(ctx, k)
			if err != nil {
				log.G(ctx).WithError(err).WithField("container", k.String()).Warn("remove what is left of a container")
				if err := m.removeDir(k); err != nil {
					log.G(ctx).WithError(err).Error("remove what is left of a container")
				}
				continue
			}
			loaded = append(loaded, c)
			m.add(c)
		}
	}
	return loaded, nil
}

var errHalfMade = errors.New("the daemon ended before it was created")

// read returns the container recorded for k, or an error if none was completed. Then
// nothing is left of it but the directory.
func (m *Manager) read(ctx context.Context, k key) (*Container, error) {
	var r record
	if err := readFile(m.dir(k), recordName, &r); err != nil {
		return nil, err
	}
	cg, err := m.Cgroups.Open(r.Cgroup)
	if err != nil {
		return nil, err
	}
	c := &Container{
		key: k, manager: m, cgroup: cg, created: r.Created, state: Running, init: newProcess("", r.Stdio),
		flags: flags{noNewKeyring: r.NoNewKeyring, sharedPID: r.SharedPID, postStart: r.PostStart, postStop: r.PostStop},
	}
	if r.Process == (exits.Identity{}) {
		ctx, cancel := cleanup(ctx)
		defer cancel()
		return nil, errors.Join(errHalfMade, c.removeCgroup(ctx))
	}
	c.init.identity, c.init.ended = r.Process, r.Exit
	if r.Exit != nil {
		c.state, c.over = Stopped, true
		close(c.init.gone)
		close(c.init.waited)
	} else if frozen, err := cg.Frozen(); err == nil && frozen {
		c.state = Paused
	}
	return c, c.readExecs()
}

func (c *Container) readExecs() error {
	dir := c.manager.dir(c.key)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), execPrefix) {
			continue
		}
		var r execRecord
		if err := readFile(dir, entry.Name(), &r); err != nil {
			return err
		}
		c.addLoaded(r)
	}
	return nil
}

func (c *Container) addLoaded(r execRecord) {
	e := &Exec{container: c, process: newProcess(r.ID, r.Stdio), state: Running}
	e.process.identity, e.process.ended = r.Process, r.Exit
	if r.Exit != nil {
		e.state = Stopped
		close(e.process.gone)
		close(e.process.waited)
	} else {
		c.live++
	}
	if c.execs == nil {
		c.execs = map[string]*Exec{}
	}
	c.execs[r.ID] = e
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
	c.mu.Lock()
	if p.ended != nil {
		c.mu.Unlock()
		return nil
	}
	p.pidfd = openIdentified(p.identity)
	p.streams = stdio.Resume(p.stdio)
	c.mu.Unlock()
	return c.manager.Exits.Adopt(p.identity, nil, func(s exits.Status) { c.ended(p, s) })
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
