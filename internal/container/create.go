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
	SpecFile      string              // a file that holds Spec and is never written again: linked to, for it takes pages of tmpfs
	Parsed        *specs.Spec         // the same, for callers who have it; used up
	Rootfs        []rootfs.Mount      // empty: the spec's root.path
	Trees         map[string]*os.File // see oci.Options; they stay the caller's
	Stdio         stdio.Config
	CgroupDriver  cgroup.Driver // "" is Cgroupfs
	NoNewKeyring  bool
	NoPivotRoot   bool
	// Waits says that the container is started later, by somebody who may outlive the
	// daemon: until then it outlives the daemon, too.
	Waits bool
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
		{c.translate, fault.CreateSpec},
		{c.makeBundle, fault.CreateBundle},
		{c.makeRecord, fault.CreateRecord},
		{c.makeCgroup, fault.CreateCgroup},
		{c.openStdio, fault.CreateStdio},
		{c.launchInit, fault.CreateReady},
		{c.setLimits, fault.CreateLimits},
		{c.keepControl, fault.CreateControl},
		{c.commit, fault.CreateCommit},
	}
	for _, step := range steps {
		if err := c.manager.step(step.then, func() error { return step.do(ctx) }); err != nil {
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
		err := c.undo[i](ctx)
		errs = append(errs, err)
		if errors.Is(err, errCgroupLeft) {
			break // the record is all that tells of the cgroup: the next daemon tries again
		}
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
	return c.request.writeSpec(filepath.Join(dir, configName))
}

func (r *Request) writeSpec(path string) error {
	if r.SpecFile != "" {
		if err := os.Link(r.SpecFile, path); !errors.Is(err, unix.EXDEV) {
			return err
		}
	}
	return os.WriteFile(path, r.Spec, 0o600)
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
	streams, err := stdio.Open(ctx, c.request.Stdio, c.stdioOptions(c.init, hostUID(&c.spec, c.spec.Process.User.UID)))
	if err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	c.init.streams = streams
	c.onUndo(func(ctx context.Context) error { streams.Close(ctx); return nil })
	return nil
}

func (c *creation) launchInit(ctx context.Context) error {
	c.onUndo(func(ctx context.Context) error { return c.discard(ctx, c.init) })
	if _, err := c.bear(ctx, c.launch, c.init, c.birth(0), &c.spec); err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	c.launch = nil
	return c.init.streams.ReleaseFiles()
}

// bear launches p.
func (c *Container) bear(ctx context.Context, req *launch.Request, p *process, birth *birth, spec *specs.Spec) (*launch.Process, error) {
	defer birth.end()
	host := c.host(p, spec)
	host.Turn = birth.begin
	handle, err := c.manager.Launcher.Launch(ctx, req, p.streams.Files(), birth, host)
	if err != nil {
		c.manager.launchFailed.Add(1)
		return nil, err
	}
	c.manager.launched.Add(1)
	return handle, nil
}

// host is what the Launcher calls back for p.
func (c *Container) host(p *process, spec *specs.Spec) launch.Host {
	born, watched := fault.CreateBorn, fault.CreateWatch
	if p != c.init {
		born, watched = fault.ExecBorn, fault.ExecWatch
	}
	return launch.Host{
		Born: func(process *launch.Process) error {
			if err := fault.Point(born); err != nil {
				return err
			}
			return c.manager.step(watched, func() error { return c.watch(p, process) })
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
	c.forget(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	p.release()
	return nil
}

// errCgroupLeft is the class of a failure to remove a cgroup.
var errCgroupLeft = errors.New("its cgroup is left")

// removeCgroup deletes the cgroup, with what still runs in it. It takes its own time: what was tried before may have
// used up the caller's.
func (c *Container) removeCgroup(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	err := c.cgroup.Kill()
	if err == nil {
		err = c.cgroup.Delete(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCgroupLeft, err)
	}
	return nil
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

// keepControl has the process wait for a later daemon, too.
func (c *creation) keepControl(context.Context) error {
	if !c.request.Waits {
		return nil
	}
	control, err := c.init.handle.Control()
	if err != nil {
		return err
	}
	defer control.Close()
	c.onUndo(func(context.Context) error { c.shelf(c.init).Drop(roleControl); return nil })
	c.shelf(c.init).Keep(roleControl, control)
	c.waits = true
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

func (c *Container) stdioOptions(p *process, uid int) stdio.Options {
	id := p.id
	if p == c.init {
		id = c.id
	}
	return stdio.Options{
		ID: id, Namespace: c.namespace, UID: uid, Reap: c.manager.reap, Pump: &c.manager.pump, Keeper: c.shelf(p),
	}
}
