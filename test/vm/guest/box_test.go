// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// driver is a way to make a container's cgroup.
type driver struct {
	name    string
	options *options.Options
	// path is what the spec says, dir where that is, scope systemd's name for it.
	path, dir, scope func(id string) string
}

const cgroupRoot = "/sys/fs/cgroup"

var cgroupfs = driver{
	name:    "cgroupfs",
	options: &options.Options{},
	path:    func(id string) string { return "/guest/" + id },
	dir:     func(id string) string { return cgroupRoot + "/guest/" + id },
}

var systemd = driver{
	name:    "systemd",
	options: &options.Options{SystemdCgroup: true},
	path:    func(id string) string { return "guest.slice:sardine:" + id },
	dir:     func(id string) string { return cgroupRoot + "/guest.slice/sardine-" + id + ".scope" },
	scope:   func(id string) string { return "sardine-" + id + ".scope" },
}

// onEachDriver runs a test that must not see a difference between them.
func onEachDriver(t *testing.T, test func(t *testing.T, drv driver)) {
	for _, drv := range []driver{cgroupfs, systemd} {
		t.Run(drv.name, func(t *testing.T) { test(t, drv) })
	}
}

// box is a running container.
type box struct {
	*daemon
	driver
	id   string
	pid  int
	task containerd.Task
	exit <-chan containerd.ExitStatus
	out  *output
}

// run starts a shell script in a container, which is gone when the test ends.
func (d *daemon) run(drv driver, script string, opts ...oci.SpecOpts) *box {
	d.t.Helper()
	id := strings.NewReplacer("/", "-", "_", "-").Replace(strings.ToLower(d.t.Name()))
	b := &box{daemon: d, driver: drv, id: id, out: &output{}}
	opts = append([]oci.SpecOpts{
		oci.WithRootFSPath(rootfs), oci.WithRootFSReadonly(), oci.WithCgroup(drv.path(id)),
		oci.WithProcessArgs("/bin/sh", "-c", script),
	}, opts...)
	container, err := d.client.NewContainer(d.ctx, id,
		containerd.WithRuntime(runtime, drv.options), containerd.WithNewSpec(opts...))
	if err != nil {
		d.t.Fatalf("container %s: %v", id, err)
	}
	d.t.Cleanup(b.remove)
	b.task, err = container.NewTask(d.ctx, cio.NewCreator(cio.WithStreams(nil, b.out, b.out)))
	if err != nil {
		d.t.Fatalf("create %s: %v", id, err)
	}
	b.pid = int(b.task.Pid())
	b.wait()
	if err := b.task.Start(d.ctx); err != nil {
		d.t.Fatalf("start %s: %v", id, err)
	}
	return b
}

func (b *box) wait() {
	b.t.Helper()
	exit, err := b.task.Wait(b.ctx)
	if err != nil {
		b.t.Fatalf("wait for %s: %v", b.id, err)
	}
	b.exit = exit
}

// reload finds the container again through a daemon that was restarted.
func (b *box) reload() {
	b.t.Helper()
	container, err := b.client.LoadContainer(b.ctx, b.id)
	if err != nil {
		b.t.Fatalf("load container %s: %v", b.id, err)
	}
	if b.task, err = container.Task(b.ctx, nil); err != nil {
		b.t.Fatalf("load task %s: %v", b.id, err)
	}
	b.wait()
}

// status returns what the container exited with.
func (b *box) status() uint32 {
	b.t.Helper()
	select {
	case exit := <-b.exit:
		if err := exit.Error(); err != nil {
			b.t.Fatalf("wait for %s: %v", b.id, err)
		}
		return exit.ExitCode()
	case <-time.After(testnode.Patience):
		b.t.Fatalf("%s runs on after %s; it printed: %s", b.id, testnode.Patience, b.out)
		return 0
	}
}

func (b *box) wantStatus(want uint32) {
	b.t.Helper()
	if got := b.status(); got != want {
		b.t.Errorf("exit status %d, want %d; printed: %s", got, want, b.out)
	}
}

func (b *box) kill(signal unix.Signal) {
	b.t.Helper()
	if err := b.task.Kill(b.ctx, signal); err != nil {
		b.t.Fatalf("kill %s: %v", b.id, err)
	}
}

func (b *box) wantState(want containerd.ProcessStatus) {
	b.t.Helper()
	got, err := b.task.Status(b.ctx)
	if err != nil {
		b.t.Fatalf("status of %s: %v", b.id, err)
	}
	if got.Status != want {
		b.t.Errorf("%s is %s, want %s", b.id, got.Status, want)
	}
}

// says waits for the container to print.
func (b *box) says(text string) {
	b.t.Helper()
	testnode.Eventually(b.t, b.id+" says "+text, func() bool { return strings.Contains(b.out.String(), text) })
}

// exec runs a script in the container and returns its status and output.
func (b *box) exec(script string) (uint32, string) {
	b.t.Helper()
	spec, err := b.task.Spec(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	process := *spec.Process
	process.Args = []string{"/bin/sh", "-c", script}
	out := &output{}
	p, err := b.task.Exec(b.ctx, "x"+strconv.FormatInt(time.Now().UnixNano(), 36), &process,
		cio.NewCreator(cio.WithStreams(nil, out, out)))
	if err != nil {
		b.t.Fatalf("exec in %s: %v", b.id, err)
	}
	exit, err := p.Wait(b.ctx)
	if err != nil {
		b.t.Fatalf("wait for exec in %s: %v", b.id, err)
	}
	if err := p.Start(b.ctx); err != nil {
		b.t.Fatalf("start exec in %s: %v", b.id, err)
	}
	status := <-exit
	p.IO().Wait() // Delete would end the copying
	if _, err := p.Delete(b.ctx); err != nil {
		b.t.Errorf("delete exec in %s: %v", b.id, err)
	}
	return status.ExitCode(), out.String()
}

// remove leaves nothing of the container, whatever state the test left it in.
func (b *box) remove() {
	startUnit(b.t)
	b.connect()
	container, err := b.client.LoadContainer(b.ctx, b.id)
	if err != nil {
		b.t.Errorf("load container %s: %v", b.id, err)
		return
	}
	task, err := container.Task(b.ctx, nil)
	if err == nil {
		_, err = task.Delete(b.ctx, containerd.WithProcessKill)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		b.t.Errorf("delete task %s: %v", b.id, err)
	}
	if err := container.Delete(b.ctx); err != nil {
		b.t.Errorf("delete container %s: %v", b.id, err)
	}
	if _, err := os.Stat(b.dir(b.id)); !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("cgroup %s is left: %v", b.dir(b.id), err)
	}
}

// cgroup reads a file of the container's cgroup.
func (b *box) cgroup(file string) string {
	b.t.Helper()
	return readFile(b.t, filepath.Join(b.dir(b.id), file))
}

func (b *box) wantCgroup(file, want string) {
	b.t.Helper()
	if got := b.cgroup(file); got != want {
		b.t.Errorf("%s is %q, want %q", file, got, want)
	}
}

// counter reads one "key value" line of a cgroup file.
func (b *box) counter(file, key string) int64 {
	b.t.Helper()
	for line := range strings.Lines(b.cgroup(file)) {
		if field := strings.Fields(line); len(field) == 2 && field[0] == key {
			n, err := strconv.ParseInt(field[1], 10, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			return n
		}
	}
	b.t.Fatalf("%s has no %s", file, key)
	return 0
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
