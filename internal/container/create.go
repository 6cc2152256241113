// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/stdio"
)

// Request asks for a container.
type Request struct {
	Namespace, ID string
	Spec          []byte              // OCI runtime spec, JSON
	Parsed        *specs.Spec         // the same, for callers who have it; used up
	Rootfs        []rootfs.Mount      // empty: the spec's root.path
	Trees         map[string]*os.File // see oci.Options; they stay the caller's
	Stdio         stdio.Config
	CgroupDriver  cgroup.Driver // "" is Cgroupfs
	NoNewKeyring  bool
	NoPivotRoot   bool
}

// creation is a container on its way to Created. Every step that changes the node leaves
// its undoing behind.
type creation struct {
	*Container
	request *Request
	spec    specs.Spec
	launch  *launch.Request
	undo    []func(context.Context) error
}

// Create makes a container whose first process waits, furnished, for Start. On error
// nothing of it is left. ErrAlreadyExists when the id is taken; ErrInvalidArgument and
// other classes with the field of the spec that is at fault.
func (m *Manager) Create(ctx context.Context, req *Request) (*Container, error) {
	k := key{req.Namespace, req.ID}
	if err := m.reserve(k); err != nil {
		return nil, err
	}
	c := &creation{request: req, Container: &Container{
		key: k, manager: m, state: Created, init: newProcess("", req.Stdio), created: time.Now(),
	}}
	c.init.held = true
	if err := c.run(ctx); err != nil {
		err = errors.Join(classify(err), c.rollback(ctx))
		m.drop(k)
		return nil, err
	}
	c.mu.Lock()
	m.add(c.Container)
	c.notify(Event{Kind: ContainerCreated, Pid: c.init.identity.Pid, Rootfs: req.Rootfs})
	c.mu.Unlock()
	c.unhold(c.init)
	return c.Container, nil
}

func (c *creation) run(ctx context.Context) error {
	steps := []struct {
		do   func(context.Context) error
		then fault.Name
	}{
		{c.translate, ""},
		{c.makeBundle, fault.CreateBundle},
		{c.makeRecord, fault.CreateRecord},
		{c.makeCgroup, fault.CreateCgroup},
		{c.openStdio, fault.CreateStdio},
		{c.launchInit, fault.CreateReady},
		{c.setLimits, fault.CreateLimits},
		{c.commit, fault.CreateCommit},
	}
	for _, step := range steps {
		err := step.do(ctx)
		if err == nil && step.then != "" {
			err = fault.Point(step.then)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rollback undoes the steps that were done, the last one first.
func (c *creation) rollback(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	var errs []error
	for i := len(c.undo) - 1; i >= 0; i-- {
		errs = append(errs, c.undo[i](ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up container %s: %w", c.key, err)
	}
	return nil
}

func (c *creation) onUndo(f func(context.Context) error) { c.undo = append(c.undo, f) }

// translate finds every mistake of the request, before anything is made.
func (c *creation) translate(context.Context) error {
	if c.request.Parsed != nil {
		c.spec = *c.request.Parsed
	} else if err := json.Unmarshal(c.request.Spec, &c.spec); err != nil {
		return fmt.Errorf("spec of container %s: %w: %w", c.key, err, errdefs.ErrInvalidArgument)
	}
	if c.spec.Process == nil {
		return fmt.Errorf("spec of container %s: process: is missing: %w", c.key, errdefs.ErrInvalidArgument)
	}
	c.spec.Process.Terminal = c.request.Stdio.Terminal
	cg, err := c.manager.Cgroups.New(cgroupConfig(c.request, &c.spec))
	if err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	c.cgroup = cg
	c.flags = flagsOf(&c.spec)
	c.flags.noNewKeyring = c.request.NoNewKeyring
	request, warnings, err := oci.Translate(&c.spec, c.options())
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.L.WithField("id", c.id).WithField("namespace", c.namespace).Warn(w)
	}
	c.launch = request
	return nil
}

func cgroupConfig(req *Request, spec *specs.Spec) cgroup.Config {
	cfg := cgroup.Config{ID: req.ID, Driver: req.CgroupDriver, Annotations: spec.Annotations}
	if spec.Linux != nil {
		cfg.Path, cfg.Resources = spec.Linux.CgroupsPath, spec.Linux.Resources
	}
	if cfg.Path == "" && req.CgroupDriver != cgroup.Systemd {
		cfg.Path = filepath.Join("/", req.Namespace, req.ID) // ids are unique in a namespace only
	}
	return cfg
}

func flagsOf(spec *specs.Spec) flags {
	f := flags{sharedPID: true}
	if spec.Linux != nil {
		for _, ns := range spec.Linux.Namespaces {
			if ns.Type == specs.PIDNamespace && ns.Path == "" {
				f.sharedPID = false
			}
		}
	}
	if h := spec.Hooks; h != nil {
		f.postStart, f.postStop = len(h.Poststart) > 0, len(h.Poststop) > 0
	}
	return f
}

func (c *creation) makeBundle(context.Context) error {
	if err := c.manager.makeDir(c.key); err != nil {
		return err
	}
	c.onUndo(func(context.Context) error { return c.manager.removeDir(c.key) })
	dir := c.manager.dir(c.key)
	// Where hooks and clients expect the root file system. It is only mounted inside the
	// container.
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o711); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, configName), c.request.Spec, 0o600)
}

func (c *creation) makeRecord(context.Context) error { return c.writeRecord() }

func (c *creation) makeCgroup(context.Context) error {
	if err := c.cgroup.Create(); err != nil {
		return err
	}
	c.onUndo(c.removeCgroup)
	return nil
}

func (c *creation) openStdio(ctx context.Context) error {
	streams, err := stdio.Open(ctx, c.request.Stdio, c.stdioOptions(c.id, hostUID(&c.spec, c.spec.Process.User.UID)))
	if err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	c.init.streams = streams
	c.onUndo(func(ctx context.Context) error { streams.Close(ctx); return nil })
	return nil
}

func (c *creation) launchInit(ctx context.Context) error {
	c.onUndo(func(ctx context.Context) error { return c.discard(ctx, c.init) })
	birth, err := c.cgroup.Begin(0)
	if err != nil {
		return err
	}
	defer birth.End()
	if _, err := c.manager.Launcher.Launch(ctx, c.launch, c.init.streams.Files(), birth, c.host(c.init, &c.spec)); err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	c.launch = nil
	return c.init.streams.ReleaseFiles()
}

// host is what the Launcher calls back for p.
func (c *Container) host(p *process, spec *specs.Spec) launch.Host {
	return launch.Host{
		Born: func(born *launch.Process) error {
			if err := fault.Point(fault.CreateBorn); err != nil {
				return err
			}
			if err := c.watch(p, born); err != nil {
				return err
			}
			return fault.Point(fault.CreateWatch)
		},
		RunHooks: func(ctx context.Context, pid int) error { return c.runHostHooks(ctx, spec, pid) },
		Terminal: func(master *os.File) error { return p.streams.Attach(master) },
		SeccompListener: func(ctx context.Context, pid int, listener *os.File) error {
			return c.passListener(ctx, spec, pid, listener)
		},
	}
}

// discard ends a process that did not get so far that its end would be reported.
func (c *Container) discard(ctx context.Context, p *process) error {
	c.mu.Lock()
	born := p.pidfd != nil
	if born {
		_ = kernel.PidfdSendSignal(int(p.pidfd.Fd()), unix.SIGKILL)
	}
	c.mu.Unlock()
	if !born {
		return nil
	}
	if err := p.awaitGone(ctx); err != nil {
		return err
	}
	c.manager.Exits.Forget(p.identity)
	c.mu.Lock()
	defer c.mu.Unlock()
	p.release()
	return nil
}

// removeCgroup deletes the cgroup, with what still runs in it.
func (c *Container) removeCgroup(ctx context.Context) error {
	if err := c.cgroup.Kill(); err != nil {
		return err
	}
	return c.cgroup.Delete(ctx)
}

func (c *creation) setLimits(context.Context) error {
	if err := c.cgroup.Tighten(); err != nil {
		return err
	}
	if c.manager.OOM == nil {
		return nil
	}
	if err := c.manager.OOM.Add(c.cgroup, c.oomKilled); err != nil {
		// A container is worth more than the report of its trouble.
		log.L.WithError(err).WithField("id", c.id).Warn("out-of-memory kills in the container will not be reported")
		return nil
	}
	c.onUndo(func(context.Context) error { c.manager.OOM.Remove(c.cgroup); return nil })
	return nil
}

func (c *creation) commit(context.Context) error { return c.writeRecord() }

// options are those of the spec's translation.
func (c *creation) options() oci.Options {
	return oci.Options{
		ID: c.id, Bundle: c.Bundle(), Rootfs: c.request.Rootfs, Trees: c.request.Trees,
		Cgroup: cgroupMounts(c.manager.Cgroups, c.cgroup), Host: c.manager.Host, Seccomp: c.manager.Seccomp,
		NoNewKeyring: c.request.NoNewKeyring, NoPivotRoot: c.request.NoPivotRoot,
	}
}

func (c *Container) stdioOptions(id string, uid int) stdio.Options {
	return stdio.Options{ID: id, Namespace: c.namespace, UID: uid, Reap: c.manager.reap}
}
