// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/nsstore"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// running is a sandbox on its way to ready. Every step that changes the node leaves its undoing
// behind.
type running struct {
	*Sandbox
	cfg  *runtime.PodSandboxConfig
	undo undo
}

// RunSandbox makes a pod. On error nothing of it is left. ErrAlreadyExists when a pod of the same name,
// namespace, uid and attempt is there.
func (m *Manager) RunSandbox(ctx context.Context, cfg *runtime.PodSandboxConfig, handlerName string) (*Sandbox, error) {
	handler, err := m.handler(handlerName)
	if err != nil {
		return nil, err
	}
	if err := m.Specs.CheckPod(cfg); err != nil {
		return nil, err
	}
	message, err := pack(cfg)
	if err != nil {
		return nil, err
	}
	r := &running{cfg: cfg, Sandbox: &Sandbox{
		ID: newID(), HandlerName: share(handlerName), Created: time.Now(),
		manager: m, handler: handler, op: newLock(), phase: making, containers: map[string]*Container{},
	}}
	r.configure(cfg, message)
	if err := m.reserveSandbox(r.Sandbox); err != nil {
		return nil, err
	}
	op := m.Plugins.Begin()
	defer op.End()
	if err := r.make(ctx, op); err != nil {
		err = errors.Join(fmt.Errorf("pod %s/%s: %w", cfg.Metadata.GetNamespace(), cfg.Metadata.GetName(), err), r.undo.run(ctx))
		m.forgetSandbox(r.Sandbox)
		return nil, err
	}
	m.addSandbox(r.Sandbox)
	m.publish(runtime.ContainerEventType_CONTAINER_CREATED_EVENT, r.ID, r.Sandbox)
	m.publish(runtime.ContainerEventType_CONTAINER_STARTED_EVENT, r.ID, r.Sandbox)
	return r.Sandbox, nil
}

func (r *running) make(ctx context.Context, op *nri.Operation) error {
	tell := func(ctx context.Context) error { return r.tell(ctx, op) }
	return r.manager.inOrder(ctx, []step{
		{r.label, ""},
		{r.makeDir, fault.RunRecord},
		{r.makeSpaces, fault.RunSpaces},
		{r.writeFiles, fault.RunFiles},
		{r.makeHolder, fault.RunHolder},
		{r.attach, fault.RunNetwork},
		{tell, fault.RunPlugins},
		{r.commit, fault.RunCommit},
	})
}

// tell shows the pod to NRI plugins.
func (r *running) tell(ctx context.Context, op *nri.Operation) error {
	if !op.Active() {
		return nil
	}
	if err := op.RunPodSandbox(ctx, r.forPlugins()); err != nil {
		return err
	}
	r.undo.add(func(ctx context.Context) error {
		return errors.Join(op.StopPodSandbox(ctx, r.forPlugins()), op.RemovePodSandbox(ctx, r.forPlugins()))
	})
	return nil
}

// label reserves the pod's SELinux labels.
func (r *running) label(context.Context) (err error) {
	if r.labels.Process, r.labels.Mount, err = r.manager.Specs.PodLabels(r.cfg); err != nil {
		return err
	}
	r.manager.labels.hold(r.labels.Process)
	r.undo.add(func(context.Context) error { r.manager.labels.drop(r.labels.Process); return nil })
	return nil
}

func (r *running) makeDir(context.Context) error {
	if err := os.Mkdir(r.dir(), 0o711); err != nil {
		return err
	}
	r.undo.add(func(context.Context) error { return os.RemoveAll(r.dir()) })
	return r.save()
}

// makeSpaces makes the pod's namespaces and its /dev/shm.
func (r *running) makeSpaces(context.Context) error {
	req, err := r.spaceRequest()
	if err != nil {
		return err
	}
	if err := r.giveUserNamespace(req); err != nil {
		return err
	}
	defer closeFiles(req.Given)
	if r.spaces, err = r.manager.spaces.Make(r.ID, req); err != nil {
		return err
	}
	r.undo.add(func(context.Context) error { r.spaces.Close(); return r.manager.spaces.Remove(r.ID) })
	return nil
}

func (r *running) spaceRequest() (*nsstore.Request, error) {
	req := &nsstore.Request{}
	if !r.hostNetwork {
		req.New |= unix.CLONE_NEWNET | unix.CLONE_NEWUTS
		req.Hostname = r.hostname()
	}
	if !r.hostIPC {
		req.New |= unix.CLONE_NEWIPC
		uid, gid := r.rootIDs()
		req.SHM = nsstore.SHM{Size: shmSize, UID: uint32(uid), GID: uint32(gid), Label: r.labels.Mount}
	}
	var err error
	req.Sysctls, err = r.manager.Specs.Sysctls(r.cfg)
	return req, err
}

// shmSize is what every runtime gives /dev/shm; a pod that wants more mounts an emptyDir there.
const shmSize = 64 << 20

// giveUserNamespace makes the namespaces in a user namespace, which no thread of the daemon can do.
func (r *running) giveUserNamespace(req *nsstore.Request) error {
	u := r.users
	if u == nil {
		return nil
	}
	flags := req.New | unix.CLONE_NEWUSER
	given, err := r.manager.Launcher.NewNamespaces(flags, rootfs.Mapping{UIDs: idMaps(u.Uids), GIDs: idMaps(u.Gids)})
	if err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	req.Given, req.New = given, 0
	return nil
}

func idMaps(ids []*runtime.IDMapping) []rootfs.IDMap {
	var maps []rootfs.IDMap
	for _, m := range ids {
		maps = append(maps, rootfs.IDMap{Inside: m.ContainerId, Outside: m.HostId, Size: m.Length})
	}
	return maps
}

func closeFiles(files map[uintptr]*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// attach connects the pod with its networks.
func (r *running) attach(ctx context.Context) error {
	netns := r.NetNS()
	if netns == "" {
		return nil
	}
	r.undo.add(func(ctx context.Context) error { return r.manager.Networks.Teardown(ctx, r.ID, netns) })
	result, err := r.manager.Networks.Setup(ctx, r.attachment(netns))
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	r.network = result
	return nil
}

func (r *running) attachment(netns string) *network.Attachment {
	meta, dns := r.Metadata, r.cfg.GetDnsConfig()
	a := &network.Attachment{
		ID: r.ID, Name: meta.GetName(), Namespace: meta.GetNamespace(), UID: meta.GetUid(), Handler: r.HandlerName, NetNS: netns, LoopbackUp: true,
		Annotations: r.Annotations, CgroupParent: r.CgroupParent,
		DNS: network.DNS{Servers: dns.GetServers(), Searches: dns.GetSearches(), Options: dns.GetOptions()},
	}
	for _, p := range r.cfg.PortMappings {
		if p.HostPort <= 0 { // a port that is only declared
			continue
		}
		a.PortMappings = append(a.PortMappings, network.PortMapping{
			Protocol: protocols[p.Protocol], ContainerPort: p.ContainerPort, HostPort: p.HostPort, HostIP: p.HostIp,
		})
	}
	return a
}

var protocols = map[runtime.Protocol]string{runtime.Protocol_TCP: "tcp", runtime.Protocol_UDP: "udp", runtime.Protocol_SCTP: "sctp"}

func (r *running) commit(context.Context) error {
	r.phase = ready
	return r.save()
}

func (m *Manager) reserveSandbox(s *Sandbox) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sandboxes.reserve(sandboxName(s.Metadata), s.ID)
}

func (m *Manager) addSandbox(s *Sandbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sandboxes.all[s.ID] = s
}

func (m *Manager) forgetSandbox(s *Sandbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sandboxes.remove(s.ID, sandboxName(s.Metadata))
}
