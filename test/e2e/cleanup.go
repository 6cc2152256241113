// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/sardine-run/sardine/internal/testnode"
)

// bpfDescriptors are what the kernel calls programs, maps and links, the latter in two ways.
var bpfDescriptors = []string{"anon_inode:bpf-prog", "anon_inode:bpf-map", "anon_inode:bpf-link", "anon_inode:bpf_link"}

// baseline remembers the running daemon as it is with no container.
func (d *Daemon) baseline() {
	d.t.Helper()
	opts := d.leakOptions()
	opts.Files = []string{d.State}
	opts.Ignore = func(l testnode.Leak) bool {
		return d.idleMayHave(l) || d.settings.ignore != nil && d.settings.ignore(l)
	}
	fresh, err := testnode.Take(opts)
	if err != nil {
		d.t.Fatal(err)
	}
	d.fresh = fresh
}

// idleMayHave exempts what a daemon keeps after its first container: the
// databases and the cgroup file system, opened when needed, the recorder of exits, which
// is loaded after the daemon serves, device filters (a few, cached by their rules), and the cgroup
// and the directory that all containers of a namespace are in, which no
// container owns.
//
// A CRI daemon also keeps the mount namespace that its pods' namespaces are pinned in. The holder
// of descriptors is another one after a restart, if it held nothing. From its first pod on it keeps open the sysctls that
// tell whether namespaces made ahead are still like new ones, and a procfs of its own, whose root is called /.
func (d *Daemon) idleMayHave(l testnode.Leak) bool {
	if d.settings.cri && strings.Contains(l.String(), filepath.Join(d.State, "io.containerd.grpc.v1.cri/namespaces")) {
		return true
	}
	if d.settings.cri && (d.ofPool(l) || l.Kind == "descriptor" && (strings.HasPrefix(l.Name, "/proc/sys/net/") || l.Name == "/")) {
		return true
	}
	switch l.Kind {
	case "process":
		return strings.HasPrefix(l.Detail, "sardine-fdstore ")
	case "descriptor":
		return l.Name == "/sys/fs/cgroup" || slices.Contains(bpfDescriptors, l.Name) ||
			strings.HasPrefix(l.Name, d.Root) && strings.HasSuffix(l.Name, ".db")
	case "cgroup", "file":
		name := filepath.Base(l.Name)
		return name == d.Namespace || d.settings.cri && name == "k8s.io"
	}
	return false
}

// ofPool tells whether l is of the network namespaces that are made ahead, of which there are four unless configured otherwise.
func (d *Daemon) ofPool(l testnode.Leak) bool {
	switch l.Kind {
	case "descriptor":
		var now, before int
		_, counts, _ := strings.Cut(l.Detail, ": ")
		_, err := fmt.Sscanf(counts, "%d, before %d", &now, &before)
		return l.Name == "net" && err == nil && now-before <= 4
	case "namespace": // one more than four is a descriptor too many
		return strings.HasPrefix(l.Name, "net:") && l.Detail == fmt.Sprintf("held by descriptor of %d", d.PID())
	}
	return false
}

// finish checks that the daemon holds nothing of the containers it had, then
// stops it. After a failure it shows the log and removes what is left instead.
func (d *Daemon) finish() {
	d.closeClient()
	if d.t.Failed() {
		d.t.Logf("log of the daemon:\n%s", d.logTail())
		d.removeAll()
	} else if d.Running() && d.fresh != nil {
		d.checkIdle()
	}
	d.Stop()
}

func (d *Daemon) checkIdle() {
	leaks, err := testnode.WaitClean(d.fresh)
	if err != nil {
		d.t.Error(err)
	}
	if len(leaks) > 0 {
		d.t.Errorf("the idle daemon still has\n%s", testnode.List(leaks))
		d.removeAll()
	}
}

// removeAll removes every container of the test's namespace.
func (d *Daemon) removeAll() {
	if !d.Running() {
		return
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), d.Namespace), testnode.Patience)
	defer cancel()
	containers, err := d.Client().Containers(ctx)
	if err != nil {
		d.t.Logf("list the containers left over: %v", err)
	}
	for _, c := range containers {
		if err := remove(ctx, c); err != nil {
			d.t.Logf("remove container %s: %v", c.ID(), err)
		}
	}
	d.closeClient()
}

func remove(ctx context.Context, c containerd.Container) error {
	task, err := c.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, containerd.WithProcessKill)
	}
	return errors.Join(err, c.Delete(ctx, containerd.WithSnapshotCleanup))
}

// sweep runs when the daemon is gone. ctr names a container's cgroup
// /NAMESPACE/ID, and the one in the middle belongs to nobody: runtimes leave
// it, so it goes here. After a failure the processes left over are killed too,
// for the sake of the next test.
func (d *Daemon) sweep() {
	if d.t.Failed() {
		d.killLeftovers()
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
		dirs, _ := filepath.Glob(pattern + d.Namespace)
		for _, dir := range dirs {
			_ = os.Remove(dir) // fails, and is reported, if a container's is left in it
		}
	}
}

func (d *Daemon) killLeftovers() {
	for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
		lists, _ := filepath.Glob(pattern + d.Namespace + "/*/cgroup.procs")
		for _, list := range lists {
			pids, _ := os.ReadFile(list)
			for _, word := range strings.Fields(string(pids)) {
				if pid, err := strconv.Atoi(word); err == nil && pid != os.Getpid() {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	}
}
