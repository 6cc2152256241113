// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/births"
)

// hungFS is a FUSE file system whose root directory is there, and which never says what is in it: a network volume whose server has
// gone.
type hungFS struct {
	t      testing.TB
	dir    string
	device *os.File
	served chan struct{}
}

// mountHungFS mounts one on a directory until the test ends, or abort is called.
func mountHungFS(t testing.TB, dir string) *hungFS {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		testnode.Unavailable(t, "no /dev/fuse: modprobe fuse")
	}
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = unix.Mount("hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd))
	}
	if err != nil {
		t.Fatalf("mount a FUSE file system: %v", err)
	}
	// Only now: polling the device before it has a file system would tell nothing, ever.
	h := &hungFS{t: t, dir: dir, device: os.NewFile(uintptr(fd), "/dev/fuse"), served: make(chan struct{})}
	go h.serve()
	t.Cleanup(h.abort)
	return h
}

// abort has everything that waits for the file system fail.
func (h *hungFS) abort() {
	h.device.Close()
	<-h.served
	if err := unix.Unmount(h.dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) { // it was called before
		h.t.Errorf("unmount %s: %v", h.dir, err)
	}
}

// Requests of FUSE, as linux/fuse.h has them.
const (
	fuseGetattr = 3
	fuseStatfs  = 17
	fuseInit    = 26
	fuseOpendir = 27
)

func (h *hungFS) serve() {
	defer close(h.served)
	request := make([]byte, 1<<20)
	for {
		n, err := h.device.Read(request)
		if err != nil {
			return
		}
		if n < 40 {
			continue
		}
		switch binary.NativeEndian.Uint32(request[4:]) {
		case fuseInit:
			answer := make([]byte, 64) // struct fuse_init_out
			binary.NativeEndian.PutUint32(answer, 7)
			binary.NativeEndian.PutUint32(answer[4:], 31)
			binary.NativeEndian.PutUint32(answer[20:], 4096) // max_write
			h.answer(request, 0, answer)
		case fuseGetattr:
			answer := make([]byte, 104) // struct fuse_attr_out
			binary.NativeEndian.PutUint64(answer, 3600)
			binary.NativeEndian.PutUint64(answer[16:], 1)                  // ino
			binary.NativeEndian.PutUint32(answer[76:], unix.S_IFDIR|0o755) // mode
			binary.NativeEndian.PutUint32(answer[80:], 2)                  // nlink
			h.answer(request, 0, answer)
		case fuseStatfs, fuseOpendir:
			h.answer(request, unix.ENOSYS, nil)
		}
	}
}

func (h *hungFS) answer(request []byte, errno unix.Errno, body []byte) {
	header := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(header, uint32(16+len(body)))
	binary.NativeEndian.PutUint32(header[4:], uint32(-int32(errno)))
	copy(header[8:], request[8:16]) // unique
	_, _ = h.device.Write(append(header, body...))
}

// hung: a probe of a file system that does not answer takes what the request allows, costs one thread however often it is asked, and
// nobody else anything.
func (f *probed) hung(t *testing.T) {
	n := f.node.In(t)
	dir := f.kubelet + "/volumes/kubernetes.io~nfs/share"
	fs := mountHungFS(t, dir)
	pod := n.RunPod(HostNetwork)
	id := pod.Run("c", "exec sleep 1000000", func(c *runtime.ContainerConfig) { // which starts no process of its own
		c.Mounts = []*runtime.Mount{{HostPath: dir, ContainerPath: "/share"}}
	})
	f.births.Forget()
	threads := births.Threads(t, n.PID())
	ctx, cancel := n.context()
	defer cancel()
	file := []string{"sardine-probe", "file", "volume:share/ok", "--validity", "1h"}
	began := time.Now()
	answer, err := n.Runtime.ExecSync(ctx, &runtime.ExecSyncRequest{ContainerId: id, Cmd: file, Timeout: 1})
	if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took > testnode.Patience {
		t.Errorf("%v, %v after %v, want DeadlineExceeded after a second", answer, err, took)
	}
	for range 50 {
		n.probes(id, 1, file[1:], "hang")
	}
	n.probes(id, 0, []string{"alive"})
	n.probes(f.quiet, 0, []string{"file", "/bin/busybox", "--validity", "1000000h"})
	n.Eventually("one thread is left, and what may be of others", func() bool { return births.Threads(t, n.PID()) <= threads+5 })
	f.noBirths(t)
	fs.abort()
	n.Eventually("the look that hung is over", func() bool {
		answer := n.answersSoon([]string{"file", "/bin/busybox", "--validity", "1000000h"}, id)
		return answer.GetExitCode() == 0
	})
	n.probes(id, 1, []string{"file", "/share/ok", "--validity", "1h"}, "/share/ok")
	if text := n.Exec(id, "sh", "-c", "ls /share 2>&1 || true"); strings.Contains(text, "ok") {
		t.Errorf("there is something: %s", text)
	}
	pod.Remove()
	f.births.Forget()
}
