// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

var _ Process = (*container.Container)(nil)

// The test binary is the containers' program too.
func TestMain(m *testing.M) {
	switch os.Getenv("PODSTATS_TEST_ROLE") {
	case "burn":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		fmt.Println("ready")
		for start := time.Now(); time.Since(start) < time.Minute; {
			continue
		}
		listener.Close()
		os.Exit(0)
	case "sleep":
		fmt.Println("ready")
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is a real process in a real cgroup, without the rest of a container.
type process struct {
	*cgroup.Cgroup
	pid int
}

func (p *process) Pid() int { return p.pid }

func (p *process) Pids() ([]container.Process, error) {
	pids, err := p.Cgroup.Pids()
	list := make([]container.Process, len(pids))
	for i, pid := range pids {
		list[i].Pid = pid
	}
	return list, err
}

var (
	serial     atomic.Int64
	testParent = fmt.Sprintf("/sardine-podstats-test-%d", os.Getpid())
)

func detect(t testing.TB) *cgroup.Host {
	t.Helper()
	testnode.NeedRoot(t)
	h, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Prune(testParent); err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return h
}

// newCgroup makes an empty cgroup, limited to 64 MiB where the host can do that.
func newCgroup(t testing.TB, h *cgroup.Host, parent string) *cgroup.Cgroup {
	t.Helper()
	cfg := cgroup.Config{ID: fmt.Sprintf("c%d", serial.Add(1))}
	cfg.Path = parent + "/" + cfg.ID
	if limit := int64(64 << 20); h.Validate(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}) == nil {
		cfg.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	}
	c, err := h.New(cfg)
	if err == nil {
		err = c.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		if err := c.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// spawn starts the test binary in role, born in the cgroup.
func spawn(t testing.TB, c *cgroup.Cgroup, role string) *process {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var p *os.Process
	kernel.OnThread(func() { p, err = clone(c, role, writer) })
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = p.Wait()
	})
	if line, err := bufio.NewReader(reader).ReadString('\n'); err != nil {
		t.Fatalf("%s said %q: %v", role, line, err)
	}
	return &process{c, p.Pid}
}

func clone(c *cgroup.Cgroup, role string, stdout *os.File) (*os.Process, error) {
	if err := c.Enter(); err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: 0}
	fd, err := c.FD()
	if err != nil {
		return nil, err
	}
	if fd >= 0 {
		defer unix.Close(fd)
		attr.UseCgroupFD, attr.CgroupFD = true, fd
	}
	return os.StartProcess("/proc/self/exe", []string{role}, &os.ProcAttr{
		Env: []string{"PODSTATS_TEST_ROLE=" + role}, Files: []*os.File{nil, stdout, os.Stderr}, Sys: attr,
	})
}

// newContainer describes a container with a writable layer of n files of 4096 bytes.
func newContainer(t testing.TB, p Process, n int) *Container {
	t.Helper()
	id := fmt.Sprintf("container%d", serial.Add(1))
	layer := filepath.Join(t.TempDir(), "upper")
	if err := os.MkdirAll(filepath.Join(layer, "var/log"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		write(t, filepath.Join(layer, "var/log", fmt.Sprint(i)), 4096)
	}
	return &Container{
		Attributes: &runtime.ContainerAttributes{Id: id, Metadata: &runtime.ContainerMetadata{Name: "main"}},
		Image:      "registry.example/image:1", Process: p, StartedAt: time.Now(),
		Layer: layer, LayerMount: "/", History: new(History),
	}
}

func newPod(parent string, containers ...*Container) *Pod {
	id := fmt.Sprintf("pod%d", serial.Add(1))
	return &Pod{
		Attributes:   &runtime.PodSandboxAttributes{Id: id, Metadata: &runtime.PodSandboxMetadata{Name: "name-" + id, Namespace: "default"}},
		Containers:   containers,
		CgroupParent: parent,
		History:      new(History),
	}
}

func write(t testing.TB, path string, size int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
}
