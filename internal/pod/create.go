// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/podspec"
)

// creation is a container on its way to Created.
type creation struct {
	*Container
	cfg  *runtime.ContainerConfig
	undo undo
}

// CreateContainer makes a container of the pod: everything but its process. On error nothing of it is
// left.
func (s *Sandbox) CreateContainer(ctx context.Context, cfg *runtime.ContainerConfig) (*Container, error) {
	if err := checkLogPath(cfg.LogPath); err != nil {
		return nil, err
	}
	if !s.Status().Ready {
		return nil, unready("pod sandbox %s is not ready", s.ID)
	}
	message, err := pack(cfg)
	if err != nil {
		return nil, err
	}
	c := &creation{cfg: cfg, Container: &Container{
		ID: newID(), Sandbox: s, Created: time.Now(), manager: s.manager, op: newLock(), status: status{State: Created},
	}}
	c.configure(cfg, message)
	if err := s.manager.reserveContainer(c.Container); err != nil {
		return nil, err
	}
	op := s.manager.Plugins.Begin()
	defer op.End()
	if err := c.complete(ctx, op); err != nil {
		err = errors.Join(fmt.Errorf("container %s: %w", cfg.Metadata.GetName(), err), c.undo.run(ctx))
		s.manager.forgetContainer(c.Container)
		return nil, err
	}
	c.afterwards(ctx, op, (*nri.Operation).PostCreateContainer)
	return c.Container, nil
}

// complete makes the container and shows it to others. Whoever finds it in the pod before it is in the Manager waits for
// op.
func (c *creation) complete(ctx context.Context, plugins *nri.Operation) error {
	if err := c.op.take(ctx); err != nil {
		return err
	}
	defer c.op.release()
	if err := c.make(ctx, plugins); err != nil {
		return err
	}
	if err := c.Sandbox.adopt(c.Container); err != nil {
		return err
	}
	c.manager.addContainer(c.Container)
	c.manager.publish(runtime.ContainerEventType_CONTAINER_CREATED_EVENT, c.ID, c.Sandbox)
	return nil
}

// adopt makes c one of the pod's, if that was not stopped meanwhile.
func (s *Sandbox) adopt(c *Container) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != ready {
		return unready("pod sandbox %s was stopped", s.ID)
	}
	s.containers[c.ID] = c
	return nil
}

func (c *creation) make(ctx context.Context, op *nri.Operation) error {
	adjust := func(ctx context.Context) error { return c.adjust(ctx, op) }
	return c.manager.inOrder(ctx, []step{
		{c.useImage, ""},
		{c.useImageVolumes, fault.MakeImage},
		{c.translate, fault.MakeSpec},
		{adjust, fault.MakePlugins},
		{c.makeLayer, fault.MakeLayer},
		{c.makeRecord, fault.MakeRecord},
	})
}

// adjust lets NRI plugins change the spec.
func (c *creation) adjust(ctx context.Context, op *nri.Operation) error {
	if !op.Active() {
		return nil
	}
	pod, container := c.Sandbox.forPlugins(), c.forPlugins(c.spec)
	if err := op.CreateContainer(ctx, pod, container); err != nil {
		return err
	}
	c.undo.add(func(ctx context.Context) error { return op.UndoCreateContainer(ctx, pod, container) })
	return c.noteResources(c.spec)
}

func (c *creation) useImage(ctx context.Context) error {
	snapshotter := c.Sandbox.handler.Snapshotter
	view, err := c.manager.Images.Use(ctx, c.Image.GetImage(), snapshotter)
	if err != nil {
		return err
	}
	c.view = view
	c.undo.add(func(context.Context) error { view.Release(); return nil })
	img := view.Image()
	c.image = imageUsed{ID: img.ID, Ref: img.ID, Name: c.Image.GetUserSpecifiedImage(), Snapshotter: snapshotter}
	if len(img.Digests) > 0 {
		c.image.Ref = img.Digests[0]
	}
	if c.image.Name == "" {
		c.image.Name = imageName(c.Image.GetImage(), img)
	}
	return nil
}

// imageName is the name to show for the image ref.
func imageName(ref string, img *image.Image) string {
	if ref != img.ID && ref != "" {
		return ref
	}
	if len(img.Tags) > 0 {
		return img.Tags[0]
	}
	return img.ID
}

func (c *creation) translate(context.Context) error {
	cfg, pod := &c.view.Image().Config, c.Sandbox.spec()
	input := &podspec.Container{
		ID: c.ID, Pod: pod, Config: c.cfg, Image: cfg, ImageName: c.image.Name,
		ReadFile: c.view.ReadFile, Handler: &c.Sandbox.handler.Handler,
		CgroupsPath: c.manager.Specs.CgroupsPath(c.Sandbox.CgroupParent, c.ID),
		Volumes:     c.declareVolumes(cfg), ImageMounts: imageMounts(c.cfg),
	}
	var err error
	if input.TargetPID, err = c.targetPID(c.cfg); err != nil {
		return err
	}
	result, err := c.manager.Specs.Translate(input)
	if err != nil {
		return err
	}
	if c.user, err = pack(result.User); err != nil {
		return err
	}
	c.spec, c.stopSignal, c.processLabel = result.Spec, share(result.StopSignal), result.ProcessLabel
	c.manager.labels.hold(c.processLabel)
	c.undo.add(func(context.Context) error { c.manager.labels.drop(c.processLabel); return nil })
	c.joined = pod.Namespaces
	if input.TargetPID != "" {
		c.joined[specs.PIDNamespace] = input.TargetPID
	}
	if err := c.noteResources(result.Spec); err != nil {
		return err
	}
	return result.Prepare()
}

// targetPID is the pid namespace of the container that TARGET names.
func (c *Container) targetPID(cfg *runtime.ContainerConfig) (string, error) {
	ns := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()
	if ns.GetPid() != runtime.NamespaceMode_TARGET {
		return "", nil
	}
	target, err := c.manager.Container(ns.GetTargetId())
	if err != nil {
		return "", invalid("target_id: %v", err)
	}
	if target.Sandbox != c.Sandbox {
		return "", invalid("target container %s is of another pod", target.ID)
	}
	task, err := target.Task()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/ns/pid", task.Pid()), nil
}

// declareVolumes gives each volume that the image declares a directory.
func (c *creation) declareVolumes(img *ocispec.Image) map[string]string {
	sources := map[string]string{}
	for i, path := range podspec.ImageVolumes(c.manager.Specs.Node(), c.cfg, img) {
		sources[path] = c.manager.layers.of(c.ID).volume(i)
		c.volumes = append(c.volumes, volume{Path: path})
	}
	return sources
}

// imageMounts names the sources of image volumes, which are no paths.
func imageMounts(cfg *runtime.ContainerConfig) map[string]string {
	sources := map[string]string{}
	for _, m := range cfg.Mounts {
		if m.GetImage().GetImage() != "" {
			sources[m.ContainerPath] = imageSource + m.ContainerPath
		}
	}
	return sources
}

const imageSource = "image:"

func (c *creation) makeLayer(context.Context) error {
	l := c.manager.layers.of(c.ID)
	uid, gid := c.Sandbox.rootIDs()
	c.undo.add(func(context.Context) error { return c.manager.layers.drop(c.ID) })
	if err := l.make(uid, gid, len(c.volumes)); err != nil {
		return err
	}
	for i, v := range c.volumes {
		if err := c.view.CopyDirectory(v.Path, l.volume(i)); err != nil {
			return fmt.Errorf("volume %s of the image: %w", v.Path, err)
		}
	}
	return nil
}

func (c *creation) makeRecord(context.Context) error {
	if err := os.Mkdir(c.dir(), 0o711); err != nil {
		return err
	}
	c.undo.add(func(context.Context) error { return os.RemoveAll(c.dir()) })
	if err := c.writeSpec(c.spec); err != nil {
		return err
	}
	return c.save()
}

func (m *Manager) reserveContainer(c *Container) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.containers.reserve(containerName(c.Metadata, c.Sandbox), c.ID)
}

func (m *Manager) addContainer(c *Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers.all[c.ID] = c
}

func (m *Manager) forgetContainer(c *Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers.remove(c.ID, containerName(c.Metadata, c.Sandbox))
}
