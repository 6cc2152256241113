// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
)

type imageView = image.View

const hostRoot = 1 << 20 // what root of the pod's user namespace is on the host

// userPod has a user namespace of its own.
func userPod(n *node) *runtime.PodSandboxConfig {
	cfg := podConfig(n)
	cfg.Hostname = "mapped"
	ids := []*runtime.IDMapping{{ContainerId: 0, HostId: hostRoot, Length: 65536}}
	cfg.Linux.SecurityContext.NamespaceOptions = &runtime.NamespaceOption{
		Pid: runtime.NamespaceMode_CONTAINER, UsernsOptions: &runtime.UserNamespace{Mode: runtime.NamespaceMode_POD, Uids: ids, Gids: ids},
	}
	return cfg
}

// TestUserNamespace looks at who owns what in a pod with a user namespace.
func TestUserNamespace(t *testing.T) {
	n := newNode(t)
	n.images.config.Config.Volumes = map[string]struct{}{"/data": {}}
	s := n.run(userPod(n))
	cfg := containerConfig("c", `
stat -c '%u:%g %n' / /bin/busybox /etc/hostname /etc/hosts /etc/resolv.conf /dev/shm /data/sub/file /image/data/sub/file /sub/file
cat /data/sub/file /image/data/sub/file /sub/file
touch /written /data/written /dev/shm/written && echo writable
touch /image/written 2>/dev/null || echo readonly
hostname`)
	cfg.Mounts = []*runtime.Mount{
		{ContainerPath: "/image", Image: &runtime.ImageSpec{Image: "busybox"}, Readonly: true},
		{ContainerPath: "/sub", Image: &runtime.ImageSpec{Image: "busybox"}, ImageSubPath: "data/sub", Readonly: true},
	}
	cfg.Linux.SecurityContext.NamespaceOptions = s.Config().Linux.SecurityContext.NamespaceOptions
	c := n.create(s, cfg)
	n.start(c)
	if got := n.exited(c); got.ExitCode != 0 {
		t.Errorf("status %+v", got)
	}
	out := n.log(c)
	for _, path := range strings.Fields("/ /bin/busybox /etc/hostname /etc/hosts /etc/resolv.conf /dev/shm /data/sub/file /image/data/sub/file /sub/file") {
		if !strings.Contains(out, "0:0 "+path+"\n") {
			t.Errorf("%s is not root's", path)
		}
	}
	if strings.Count(out, "content\n") != 3 || !strings.HasSuffix(out, "writable\nreadonly\nmapped\n") {
		t.Errorf("it printed\n%s", out)
	}
	if info, err := os.Stat(filepath.Join(c.WritableLayer(), "written")); err != nil || info.Sys().(*syscall.Stat_t).Uid != hostRoot {
		t.Errorf("what it wrote: %v, %v", info, err)
	}
	n.restart()
	cfg = containerConfig("later", "hostname; id -u")
	cfg.Linux.SecurityContext.NamespaceOptions = s.Config().Linux.SecurityContext.NamespaceOptions
	again := n.create(n.again(s), cfg)
	n.start(again)
	n.exited(again)
	if got := n.log(again); got != "mapped\n0\n" {
		t.Errorf("with a later daemon: %q", got)
	}
}

func TestImageVolume(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	mount := func(image, sub string) *runtime.ContainerConfig {
		cfg := containerConfig("c", "cat /v/file")
		cfg.Mounts = []*runtime.Mount{{ContainerPath: "/v", Image: &runtime.ImageSpec{Image: image}, ImageSubPath: sub, Readonly: true}}
		return cfg
	}
	for what, cfg := range map[string]*runtime.ContainerConfig{
		"image": mount("nosuch", ""), "directory": mount("busybox", "no/such"), "file": mount("busybox", "data/sub/file"),
		"link": mount("busybox", "bin/sh"),
	} {
		_, err := s.CreateContainer(t.Context(), cfg)
		wantClass(t, what, err, errdefs.ErrNotFound)
	}
	c := n.create(s, mount("busybox", "data/sub"))
	if uses := n.images.uses.Load(); uses != 2 {
		t.Errorf("%d uses of images", uses)
	}
	n.start(c)
	if n.exited(c); n.log(c) != "content\n" {
		t.Errorf("it printed %q", n.log(c))
	}
}

// TestSlowSubscriber lets go of one, and keeps nobody else waiting.
func TestSlowSubscriber(t *testing.T) {
	m := &Manager{events: newEvents()}
	slow, stopSlow := m.Subscribe()
	defer stopSlow()
	quick, stopQuick := m.Subscribe()
	for i := range subscriberBuffer + 1 {
		m.publish(runtime.ContainerEventType_CONTAINER_CREATED_EVENT, "c", nil)
		if e, open := <-quick; !open || e.ContainerID != "c" {
			t.Fatalf("event %d: %v, %v", i, e, open)
		}
	}
	got := 0
	for range slow {
		got++
	}
	if got != subscriberBuffer {
		t.Errorf("the slow one got %d events before its end", got)
	}
	stopQuick()
	stopQuick()
	if _, open := <-quick; open {
		t.Error("an event after stop")
	}
	m.events.close()
	late, stop := m.Subscribe()
	defer stop()
	if _, open := <-late; open {
		t.Error("an event after close")
	}
}

func TestLock(t *testing.T) {
	l := newLock()
	if err := l.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error)
	go func() { taken <- l.take(t.Context()) }()
	l.release()
	if err := <-taken; err != nil {
		t.Error(err)
	}
}
