// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/tinyimage"
)

// house is where the tenants are: their directories, cgroups and processes.
type house struct {
	dir     string
	cgroups []hierarchy
	network []byte // configuration of the plugin
	plugin  string
	names   []string // of tenants, also of one that failed
	tenants []int    // process ids
}

func newHouse(oneCgroup bool, plugin string) (h *house, err error) {
	dir, err := os.MkdirTemp("", "sardine-floor-")
	if err != nil {
		return nil, err
	}
	h = &house{dir: dir, plugin: plugin, network: fmt.Appendf(nil, `{
  "cniVersion": "1.0.0", "name": "floor", "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.88.0.0/20"}]]}}`, dir+"/addresses")}
	if h.cgroups, err = hierarchies(oneCgroup); err == nil {
		err = h.makeRoot()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return h, nil
}

// makeRoot is the lower layer that all share: the tiny image's.
func (h *house) makeRoot() error {
	program, err := tinyimage.Program(runtime.GOARCH)
	if err != nil {
		return err
	}
	for _, name := range []string{"bin", "dev", "etc", "proc", "run", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(h.dir, "lower", name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(h.dir, "lower/bin/sleep"), program, 0o755)
}

// let adds a tenant and returns when its program runs.
func (h *house) let(ctx context.Context) error {
	name := fmt.Sprintf("sardine-floor-%d-%d", os.Getpid(), len(h.names))
	h.names = append(h.names, name)
	for _, layer := range []string{"upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(h.dir, name, layer), 0o755); err != nil {
			return err
		}
	}
	for _, c := range h.cgroups {
		if err := c.make(name); err != nil {
			return err
		}
	}
	pid, err := h.clone(name)
	if err != nil {
		return err
	}
	h.tenants = append(h.tenants, pid)
	if h.plugin == "" {
		return nil
	}
	return h.attach(ctx, name, pid)
}

// clone starts the tenant on a thread that is in its version 1 cgroups, and
// waits until it has executed the program.
func (h *house) clone(name string) (pid int, err error) {
	report, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer report.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, errors.Join(err, write.Close())
	}
	defer null.Close()
	attr := &syscall.ProcAttr{Files: []uintptr{null.Fd(), null.Fd(), write.Fd()}, Sys: &syscall.SysProcAttr{Cloneflags: h.namespaces()}}
	kernel.OnThread(func() {
		if err = h.enter(name, attr.Sys); err == nil {
			pid, err = syscall.ForkExec("/proc/self/exe", []string{"floor", childArg, filepath.Join(h.dir, name)}, attr)
		}
	})
	if attr.Sys.UseCgroupFD {
		_ = unix.Close(attr.Sys.CgroupFD)
	}
	_ = write.Close() // the child has its own, which it closes by executing the program
	if err != nil {
		return 0, fmt.Errorf("clone: %w", err)
	}
	if said, err := io.ReadAll(report); err != nil || len(said) > 0 {
		_, _ = unix.Wait4(pid, nil, 0, nil)
		return 0, errors.Join(fmt.Errorf("tenant: %s", strings.TrimSpace(string(said))), err)
	}
	return pid, nil
}

func (h *house) namespaces() uintptr {
	var flags uintptr = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
	if h.plugin != "" {
		flags |= unix.CLONE_NEWNET
	}
	return flags
}

// enter moves the calling thread into the tenant's cgroups of version 1; into
// that of version 2 it is cloned.
func (h *house) enter(name string, attr *syscall.SysProcAttr) (err error) {
	for _, c := range h.cgroups {
		if !c.two {
			err = c.enter(name)
		} else if attr.CgroupFD, err = unix.Open(c.path(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			attr.UseCgroupFD = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attach has the plugin connect the tenant's network namespace with the bridge.
func (h *house) attach(ctx context.Context, name string, pid int) error {
	cmd := exec.CommandContext(ctx, h.plugin)
	cmd.Env = append(os.Environ(), "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID="+name,
		"CNI_NETNS=/proc/"+strconv.Itoa(pid)+"/ns/net", "CNI_PATH="+filepath.Dir(h.plugin))
	cmd.Stdin = strings.NewReader(string(h.network))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("plugin: %w: %s", err, out)
	}
	return nil
}

// remove ends the tenants and removes their cgroups and directories. Interfaces
// and mounts end with their namespaces.
func (h *house) remove() error {
	for _, pid := range h.tenants {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	for _, pid := range h.tenants {
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
	var errs []error
	for _, name := range h.names {
		for _, c := range h.cgroups {
			errs = append(errs, c.remove(name))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(h.dir))...)
}
