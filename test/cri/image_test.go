// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"slices"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// An image that is removed while a container uses it takes nothing from that
// container, and can be pulled again.
func TestRemoveImageInUse(t *testing.T) {
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	id := pod.Run("c", Forever)
	n.RemoveImage(Busybox)
	if got := n.Exec(id, "cat", "/etc/passwd"); got == "" {
		t.Error("the container has lost its files")
	}
	again := n.Pull(Busybox)
	if status := n.Status(id); status.ImageId != "" && status.ImageId != again {
		t.Errorf("the container has image %s, pulled again it is %s", status.ImageId, again)
	}
	n.Exec(pod.Run("another", Forever), "true")
	pod.Remove()
}

// RemoveImage removes an image with all its names.
func (n *Node) RemoveImage(ref string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Images.RemoveImage(ctx, &runtime.RemoveImageRequest{Image: &runtime.ImageSpec{Image: ref}}); err != nil {
		n.t.Fatalf("remove image %s: %v", ref, err)
	}
}

// What one client pulled is there for the other, whichever way it came.
func TestImagesByCRIAndContainerd(t *testing.T) {
	n := StartNode(t)
	n.Pull(Busybox)
	if out := n.MustCtr("-n", "k8s.io", "images", "ls", "-q"); !slices.Contains(lines(out), Busybox) {
		t.Errorf("ctr does not see %s:\n%s", Busybox, out)
	}
	n.MustCtr("-n", "k8s.io", "images", "tag", Busybox, "registry.test/tagged:1")
	n.Eventually("CRI sees a name that ctr gave", func() bool { return n.hasImage("registry.test/tagged:1") })
	n.MustCtr("-n", "k8s.io", "images", "rm", Busybox)
	n.Eventually("CRI misses a name that ctr took", func() bool { return !n.hasImage(Busybox) })
	if !n.hasImage("registry.test/tagged:1") {
		t.Error("the other name is gone too")
	}
}

func (n *Node) hasImage(ref string) bool {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Images.ImageStatus(ctx, &runtime.ImageStatusRequest{Image: &runtime.ImageSpec{Image: ref}})
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.Image != nil && slices.Contains(answer.Image.RepoTags, ref)
}
