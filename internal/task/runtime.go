// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/fdstore"
)

// Runtime is the runtime that containerd's tasks service sends every task to.
type Runtime struct {
	names      names
	containers *container.Manager
	stock      runtime.PlatformRuntime
	mounts     mount.Manager // nil: none is configured
	defaults   Options
	version    string
	init       string // path of sardine-init
	store      *fdstore.Store
	probes     bool
	publisher  *publisher
	metrics    *metrics
	closers    []func() error // what Close ends, the last one first
}

var _ runtime.PlatformRuntime = (*Runtime)(nil)

// Engine is what runs the containers, for those who have another door to them.
type Engine struct {
	Containers *container.Manager
	Init       string // path of sardine-init
	Store      *fdstore.Store
	StockRunc  bool // containers of the runtime io.containerd.runc.v2 are the shim's, by configuration
	Probes     bool // of CRI are answered by the daemon, by configuration

	// Phase notes in the metrics how long the step name took.
	Phase func(name string, took time.Duration)
}

// Engine of the runtime.
func (r *Runtime) Engine() Engine {
	return Engine{Containers: r.containers, Init: r.init, Store: r.store, StockRunc: r.names.stockRunc == stockShim, Probes: r.probes, Phase: r.metrics.phase}
}

// ID of the runtime, as containerd's own has it.
func (r *Runtime) ID() string { return plugins.RuntimePluginV2.String() + ".task" }

// Create makes a task. Its runtime name decides whether it is ours.
func (r *Runtime) Create(ctx context.Context, id string, opts runtime.CreateOpts) (runtime.Task, error) {
	ours, err := r.names.ours(opts.Runtime)
	if err != nil {
		return nil, err
	}
	if !ours {
		return r.stock.Create(ctx, id, opts)
	}
	t, err := r.create(ctx, id, opts)
	if err != nil {
		return nil, fmt.Errorf("create task %s: %w", id, err)
	}
	return t, nil
}

func (r *Runtime) create(ctx context.Context, id string, opts runtime.CreateOpts) (_ runtime.Task, err error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	if err := identifiers.Validate(id); err != nil {
		return nil, err
	}
	if opts.Checkpoint != "" || opts.RestoreFromPath {
		return nil, errCheckpoint
	}
	request, err := r.request(namespace, id, &opts)
	if err != nil {
		return nil, err
	}
	active, err := r.activate(ctx, id, opts.Rootfs)
	if err != nil {
		return nil, err
	}
	if request.Rootfs, err = rootfsMounts(active.mounts); err == nil {
		var c *container.Container
		if c, err = r.containers.Create(ctx, request); err == nil {
			active.keep(c.Bundle())
			return &Task{c}, nil
		}
	}
	r.undo(ctx, id, active)
	return nil, err
}

func (r *Runtime) request(namespace, id string, opts *runtime.CreateOpts) (*container.Request, error) {
	if opts.Spec == nil || len(opts.Spec.GetValue()) == 0 {
		return nil, fmt.Errorf("the container has no spec: %w", errdefs.ErrInvalidArgument)
	}
	options, err := r.options(opts)
	if err != nil {
		return nil, err
	}
	return &container.Request{
		Namespace: namespace, ID: id, Spec: opts.Spec.GetValue(), Stdio: streams(opts.IO),
		CgroupDriver: options.driver(), NoNewKeyring: options.NoNewKeyring, NoPivotRoot: options.NoPivotRoot,
		Waits: true,
	}, nil
}

// Get returns a task of ctx's namespace.
func (r *Runtime) Get(ctx context.Context, id string) (runtime.Task, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	if c, err := r.containers.Get(namespace, id); err == nil {
		return &Task{c}, nil
	}
	return r.stock.Get(ctx, id)
}

// Tasks lists the tasks of ctx's namespace, or with all those of every namespace.
func (r *Runtime) Tasks(ctx context.Context, all bool) ([]runtime.Task, error) {
	namespace := ""
	if !all {
		var err error
		if namespace, err = namespaces.NamespaceRequired(ctx); err != nil {
			return nil, err
		}
	}
	tasks, err := r.stock.Tasks(ctx, all)
	if err != nil {
		return nil, err
	}
	for _, c := range r.containers.List(namespace) {
		tasks = append(tasks, &Task{c})
	}
	return tasks, nil
}

// Delete removes a task that has ended or was not started.
func (r *Runtime) Delete(ctx context.Context, id string) (*runtime.Exit, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	c, err := r.containers.Get(namespace, id)
	if err != nil {
		return r.stock.Delete(ctx, id)
	}
	activated := isActivated(c.Bundle())
	exit, err := c.Delete(ctx)
	if err != nil {
		return nil, err
	}
	if activated {
		r.deactivate(ctx, id)
	}
	return &runtime.Exit{Pid: uint32(c.Pid()), Status: exit.Status, Timestamp: exit.At}, nil
}

// Close ends what the Runtime owns. Containers are not touched.
func (r *Runtime) Close() error {
	var first error
	for i := len(r.closers) - 1; i >= 0; i-- {
		if err := r.closers[i](); err != nil && first == nil {
			first = err
		}
	}
	return first
}
