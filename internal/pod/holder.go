// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
)

// holderInit is where the holder of a pid namespace finds sardine-init in its root file system, which is otherwise
// empty.
const holderInit = "/sardine-init"

// makeHolder starts the process that is pid 1 of a pod whose containers share a pid
// namespace, if it does: sardine-init, which reaps what the containers leave.
func (r *running) makeHolder(ctx context.Context) error {
	if !r.sharedPID {
		return nil
	}
	if err := os.Mkdir(r.holderRoot(), 0o755); err != nil {
		return fmt.Errorf("pid namespace: %w", err)
	}
	if uid, gid := r.rootIDs(); uid != 0 || gid != 0 {
		if err := os.Chown(r.holderRoot(), uid, gid); err != nil {
			return fmt.Errorf("pid namespace: %w", err)
		}
	}
	spec := r.holderSpec()
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	r.undo.add(r.endHolder)
	if err := r.manager.layers.mark(r.ID); err != nil {
		return err
	}
	r.holder, err = r.manager.Containers.Create(ctx, &container.Request{
		Namespace: holderNamespace, ID: r.ID, Spec: text, Parsed: spec, CgroupDriver: r.handler.CgroupDriver, NoNewKeyring: true,
	})
	if err == nil {
		err = r.holder.Start(ctx)
	}
	if err != nil {
		return fmt.Errorf("pid namespace: %w", err)
	}
	return nil
}

// holderRoot is the root file system of the holder, empty but for sardine-init.
func (s *Sandbox) holderRoot() string { return filepath.Join(s.dir(), "root") }

func (r *running) holderSpec() *specs.Spec {
	pod := r.spec()
	spaces := []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}}
	for kind, path := range pod.Namespaces {
		spaces = append(spaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: r.holderRoot()},
		Process: &specs.Process{
			Args: []string{holderInit, "hold"}, Cwd: "/", NoNewPrivileges: true, Env: []string{"GOMAXPROCS=1", "GOGC=off"},
			Capabilities: &specs.LinuxCapabilities{},
		},
		Mounts: []specs.Mount{{Destination: holderInit, Source: r.manager.Init, Type: "bind", Options: []string{"bind", "ro", "nosuid", "nodev"}}},
		Linux: &specs.Linux{
			Namespaces: spaces, UIDMappings: pod.UIDMappings, GIDMappings: pod.GIDMappings,
			CgroupsPath: r.manager.Specs.CgroupsPath(r.CgroupParent, r.ID),
		},
	}
}

// holderEnded tells that the pod is not ready any more, unless it is being stopped.
func (m *Manager) holderEnded(id string) {
	m.mu.Lock()
	s := m.sandboxes.all[id]
	m.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	unexpected := s.phase == ready
	s.mu.Unlock()
	if unexpected {
		log.L.WithField("id", id).Warn("the process that held the pid namespace of a pod has ended, and with it all in the namespace")
		m.publish(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, id, s)
	}
}

// endHolder ends the process, and with it what runs in the namespace. nil when there is none.
func (s *Sandbox) endHolder(ctx context.Context) error {
	h, err := s.manager.Containers.Get(holderNamespace, s.ID)
	if errors.Is(err, errdefs.ErrNotFound) {
		return s.manager.layers.drop(s.ID)
	}
	if err != nil {
		return err
	}
	if err := h.Kill(unix.SIGKILL, true); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return err
	}
	if h.Status().State != container.Created {
		if _, err := h.Wait(ctx); err != nil {
			return err
		}
	}
	if _, err := h.Delete(ctx); err != nil {
		return err
	}
	return s.manager.layers.drop(s.ID)
}
