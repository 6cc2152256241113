// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func testVolumes(t *testing.T, n *node) {
	p := n.run(t, `
securityContext: {fsGroup: 2000}
containers:
- name: one
  image: {{busybox}}
  command: [sleep, 1d]
  volumeMounts:
  - {name: disk, mountPath: /disk}
  - {name: memory, mountPath: /memory}
  - {name: disk, mountPath: /part, subPath: inner/part}
- name: two
  image: {{busybox}}
  command: [sleep, 1d]
  env: [{name: PART, value: inner}]
  volumeMounts:
  - {name: disk, mountPath: /disk, readOnly: true}
  - {name: memory, mountPath: /memory}
  - {name: disk, mountPath: /part, subPathExpr: $(PART)}
volumes:
- name: disk
  emptyDir: {}
- name: memory
  emptyDir: {medium: Memory, sizeLimit: 8Mi}
`)
	p.ready()
	p.sh("one", "echo a >/disk/file; echo b >/memory/file; echo c >/part/file")
	expect(t, "what two sees", p.sh("two", "cat /disk/file /memory/file /part/part/file | xargs"), "a b c")
	expect(t, "type of the volume in memory", p.sh("two", "grep ' /memory ' /proc/mounts | cut -d' ' -f3"), "tmpfs")
	if out, err := p.exec("one", "dd", "if=/dev/zero", "of=/memory/big", "bs=1M", "count=16"); err == nil {
		t.Errorf("16 MiB fit in the volume of 8 MiB: %s", out)
	}
	if out, err := p.exec("two", "touch", "/disk/other"); err == nil || !strings.Contains(err.Error(), "Read-only") {
		t.Errorf("a read-only mount is written to: %s, %v", out, err)
	}
	expect(t, "group of the volume", p.sh("one", "stat -c %g /disk"), "2000")
	// The writable layer is each container's own.
	p.sh("one", "touch /tmp/mine")
	expect(t, "what of one's root two sees", p.sh("two", "ls /tmp"), "")
}

// testHostPath: directories and files of the node, and mounts that appear below
// a directory later.
func testHostPath(t *testing.T, n *node) {
	p := n.pod(t)
	p.writeHost("single", "one file")
	p.apply(`
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  volumeMounts:
  - {name: dir, mountPath: /host, mountPropagation: HostToContainer}
  - {name: file, mountPath: /etc/single, readOnly: true}
  - {name: made, mountPath: /made}
volumes:
- name: dir
  hostPath: {path: "{{host}}", type: Directory}
- name: file
  hostPath: {path: "{{host}}/single", type: File}
- name: made
  hostPath: {path: "{{host}}/made", type: DirectoryOrCreate}
`)
	p.ready()
	expect(t, "the file", p.sh("main", "cat /etc/single"), "one file")
	p.sh("main", "echo from inside >/host/reply; echo made >/made/file")
	expect(t, "what the container wrote", p.hostFile("reply"), "from inside\n")
	expect(t, "what it wrote in the directory that was made", p.hostFile("made/file"), "made\n")
	point := filepath.Join(p.host, "made")
	if err := unix.Mount("later", point, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(point, unix.MNT_DETACH)
	expect(t, "mount below the directory", p.sh("main", "grep ' /host/made ' /proc/mounts | cut -d' ' -f1"), "later")
}

// testImageVolume: an image as a read-only volume.
func testImageVolume(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  volumeMounts:
  - {name: image, mountPath: /image}
volumes:
- name: image
  image: {reference: "{{user}}"}
`)
	p.ready()
	expect(t, "a file of the image", p.sh("main", "grep -c user:x:1000 /image/etc/passwd"), "1")
	if _, err := p.exec("main", "touch", "/image/file"); err == nil {
		t.Error("the image is written to")
	}
}

// testDownward: what a pod is told about itself.
func testDownward(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  resources: {limits: {memory: 64Mi}}
  env:
  - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
  volumeMounts:
  - {name: info, mountPath: /info}
volumes:
- name: info
  downwardAPI:
    items:
    - {path: labels, fieldRef: {fieldPath: metadata.labels}}
`)
	s := p.ready()
	expect(t, "the environment", p.sh("main", "echo $POD $IP $NODE $MEMORY"), p.fullName()+" "+s.Status.PodIP+" "+nodeIP+" 64")
	expect(t, "the labels", p.sh("main", "cat /info/labels"), `test="`+p.name+`"`)
}
