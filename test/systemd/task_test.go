// SPDX-License-Identifier: Apache-2.0

//go:build vm

package systemd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// task is a container of a client of containerd's API, which has its terminal.
type task struct {
	*unit
	id    string
	pid   int
	input *io.PipeWriter
	out   output
}

// runTerminal starts a shell on a terminal.
func (u *unit) runTerminal() *task {
	u.t.Helper()
	ref := e2e.StartRegistry(u.t).Push("busybox:1", e2e.Busybox(u.t))
	image, err := u.client.Pull(u.ctx, ref, containerd.WithPullUnpack)
	if err != nil {
		u.t.Fatalf("pull %s: %v", ref, err)
	}
	k := &task{unit: u, id: "terminal"}
	container, err := u.client.NewContainer(u.ctx, k.id, containerd.WithRuntime(e2e.Sardine, nil), containerd.WithNewSnapshot(k.id, image),
		containerd.WithNewSpec(oci.WithImageConfig(image), oci.WithTTY, oci.WithCgroup("/"+namespace+"/"+k.id), oci.WithProcessArgs("/bin/sh")))
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(k.remove)
	var in *io.PipeReader
	in, k.input = io.Pipe()
	u.t.Cleanup(func() { k.input.Close() })
	made, err := container.NewTask(u.ctx, cio.NewCreator(cio.WithStreams(in, &k.out, nil), cio.WithTerminal, cio.WithFIFODir(run+"/fifo")))
	if err != nil {
		u.t.Fatal(err)
	}
	if err := made.Start(u.ctx); err != nil {
		u.t.Fatal(err)
	}
	k.pid = int(made.Pid())
	return k
}

func (k *task) load() containerd.Task {
	k.t.Helper()
	container, err := k.client.LoadContainer(k.ctx, k.id)
	if err != nil {
		k.t.Fatal(err)
	}
	loaded, err := container.Task(k.ctx, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return loaded
}

func (k *task) remove() {
	if k.client == nil {
		return
	}
	container, err := k.client.LoadContainer(k.ctx, k.id)
	if err != nil {
		k.t.Error(err)
		return
	}
	if loaded, err := container.Task(k.ctx, nil); err == nil {
		if _, err := loaded.Delete(k.ctx, containerd.WithProcessKill); err != nil {
			k.t.Error(err)
		}
	}
	if err := container.Delete(k.ctx, containerd.WithSnapshotCleanup); err != nil {
		k.t.Error(err)
	}
}

func (k *task) write(line string) {
	k.t.Helper()
	if _, err := k.input.Write([]byte(line + "\n")); err != nil {
		k.t.Fatal(err)
	}
}

// types writes a line to the terminal and waits for an answer to it.
func (k *task) types(line, answer string) {
	k.t.Helper()
	before := strings.Count(k.out.String(), answer)
	k.write(line)
	k.eventually(fmt.Sprintf("%q after %q", answer, line), func() bool { return strings.Count(k.out.String(), answer) > before })
}

func (k *task) resize(width, height uint32) {
	k.t.Helper()
	if err := k.load().Resize(k.ctx, width, height); err != nil {
		k.t.Errorf("resize the terminal: %v", err)
	}
}

func (k *task) wantUntouched() {
	k.t.Helper()
	if pid := int(k.load().Pid()); pid != k.pid || !testnode.Alive(pid) {
		k.t.Errorf("pid %d, was %d", pid, k.pid)
	}
}

// end kills the container and expects its status.
func (k *task) end() {
	k.t.Helper()
	loaded := k.load()
	exit, err := loaded.Wait(k.ctx)
	if err == nil {
		err = loaded.Kill(k.ctx, unix.SIGKILL)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	if status := <-exit; status.ExitCode() != 128+9 || status.Error() != nil {
		k.t.Errorf("exit %d, %v", status.ExitCode(), status.Error())
	}
}

// output is a buffer that a stream's copier and a test may use at once.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
