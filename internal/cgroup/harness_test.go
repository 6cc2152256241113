// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

var serial atomic.Int64

// testParent keeps the tests' cgroups apart from a daemon's on the same host.
var testParent = fmt.Sprintf("/sardine-test-%d", os.Getpid())

func TestMain(m *testing.M) {
	if role := os.Getenv("CGROUP_TEST_ROLE"); role != "" {
		os.Exit(play(role))
	}
	if err := arrange(Mode(os.Getenv("CGROUP_TEST_MODE"))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if h, err := Detect(); err == nil {
		_ = h.Prune(testParent)
		for _, hier := range h.all() {
			if hier.exists(testParent[1:]) {
				fmt.Fprintln(os.Stderr, "left behind:", hier.path(testParent))
				code = 1
			}
		}
	}
	os.Exit(code)
}

// play is what the test binary does when a test runs it as a container's process.
func play(role string) int {
	switch role {
	case "sleep":
		time.Sleep(time.Minute)
	case "burn":
		for start := time.Now(); time.Since(start) < time.Minute; {
			continue
		}
	case "eat":
		eat()
	case "device":
		return tryDevice(os.Getenv("CGROUP_TEST_DEVICE"))
	case "fork":
		fork()
	case "chains":
		return becomeChains()
	}
	return 0
}

// eat touches memory until the limit kills it.
func eat() {
	var hold [][]byte
	for range 512 {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		hold = append(hold, block)
	}
	runtime.KeepAlive(hold)
}

// fork leaves a child that sleeps in the same cgroup, and sleeps too.
func fork() {
	p, err := os.StartProcess("/proc/self/exe", []string{"child"}, &os.ProcAttr{Env: []string{"CGROUP_TEST_ROLE=sleep"}})
	if err != nil {
		os.Exit(3)
	}
	_, _ = p.Wait()
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
}

func detect(t testing.TB) *Host {
	t.Helper()
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func testConfig() Config {
	id := fmt.Sprintf("c%d", serial.Add(1))
	return Config{ID: id, Path: testParent + "/" + id}
}

// newCgroup creates the cgroup cfg describes and deletes it after the test.
func newCgroup(t testing.TB, h *Host, cfg Config) *Cgroup {
	t.Helper()
	c, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, c) })
	return c
}

func destroy(t testing.TB, c *Cgroup) {
	t.Helper()
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	if err := c.Delete(context.Background()); err != nil {
		t.Error(err)
	}
	for name, dir := range c.Paths() {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%q still has %s (%v)", name, dir, err)
		}
	}
}

// spawn starts the test binary in role, born in c the way the launcher does it:
// on a locked thread that has entered the v1 cgroups, cloned into the unified one.
func spawn(t testing.TB, c *Cgroup, role string) *os.Process {
	t.Helper()
	p, err := born(c, role)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = p.Wait()
	})
	return p
}

func born(c *Cgroup, role string) (p *os.Process, err error) {
	return bornIn(c, role)
}

// birthplace is what Cgroup and Birth have in common.
type birthplace interface {
	Enter() error
	FD() (int, error)
}

func bornIn(c birthplace, role string) (p *os.Process, err error) {
	kernel.OnThread(func() { p, err = cloneInto(c, role) })
	return p, err
}

func cloneInto(c birthplace, role string) (*os.Process, error) {
	if err := c.Enter(); err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{}
	fd, err := c.FD()
	if err != nil {
		return nil, err
	}
	if fd >= 0 {
		defer unix.Close(fd)
		attr.UseCgroupFD, attr.CgroupFD = true, fd
	}
	return os.StartProcess("/proc/self/exe", []string{role}, &os.ProcAttr{
		Env:   []string{"GORACE=atexit_sleep_ms=0", "CGROUP_TEST_ROLE=" + role, "CGROUP_TEST_DEVICE=" + os.Getenv("CGROUP_TEST_DEVICE")},
		Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: attr,
	})
}

// stacks of all goroutines.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func readFile(t testing.TB, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
