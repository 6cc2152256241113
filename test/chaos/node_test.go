// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// checkNode looks for what the pods and containers have left. Processes, mounts, cgroups, namespaces, descriptors and files of the
// state directory are compared with the node before when the test ends.
func (r *run) checkNode() {
	r.checkLists()
	for what, left := range map[string]func() []string{
		"addresses in use":        r.Addresses,
		"network interfaces":      r.interfaces,
		"writable layers":         func() []string { return r.below(r.Root, "layers", "trash") },
		"records":                 func() []string { return r.below(r.State, "pods", "pod-containers") },
		"cgroups":                 r.cgroups,
		"processes in containers": func() []string { return processesWith(r.pages) },
	} {
		r.nothingLeft(what, left)
	}
	// A daemon that ends with nothing to remember takes what it has pinned along.
	r.Stop()
	r.nothingLeft("pinned eBPF objects", r.pins)
	r.start()
}

// nothingLeft waits: layers are deleted in the background.
func (r *run) nothingLeft(what string, left func() []string) {
	var found []string
	for begin := time.Now(); time.Since(begin) < testnode.Patience; time.Sleep(20 * time.Millisecond) {
		if found = left(); len(found) == 0 {
			return
		}
	}
	r.violate("", "%s are left: %s", what, strings.Join(found, " "))
}

// checkLists asks the daemon.
func (r *run) checkLists() {
	ctx, cancel := context.WithTimeout(r.ctx, testnode.Patience)
	defer cancel()
	sandboxes, err := r.cri.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil || len(sandboxes.Items) > 0 {
		r.violate("", "sandboxes are left: %v %v", sandboxes, err)
	}
	list, err := r.cri.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil || len(list.Containers) > 0 {
		r.violate("", "containers are left: %v %v", list, err)
	}
	if out, err := r.Ctr("tasks", "ls", "-q"); err != nil || strings.TrimSpace(out) != "" {
		r.violate("", "tasks are left: %q %v", out, err)
	}
}

// interfaces are those of the node's network but for lo and the bridge.
func (r *run) interfaces() (names []string) {
	err := r.Place.Do(func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			if i.Name != "lo" && i.Name != "cni0" {
				names = append(names, i.Name)
			}
		}
		return err
	})
	if err != nil {
		names = append(names, err.Error())
	}
	return names
}

// cgroups are those of containers, in every hierarchy. The one in the middle is the test's.
func (r *run) cgroups() (found []string) {
	for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
		dirs, _ := filepath.Glob(pattern + r.Namespace + "/*/cgroup.procs")
		for _, file := range dirs {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}

// below lists what lies in directories of these names, however deep below dir they are.
func (r *run) below(dir string, names ...string) (found []string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil //nolint:nilerr // it is being deleted
		}
		for _, name := range names {
			if e.Name() == name && strings.Contains(path, "cri") {
				found = append(found, everything(path)...)
				return fs.SkipDir
			}
		}
		if e.Name() == "snapshots" {
			return fs.SkipDir
		}
		return nil
	})
	return found
}

// pins are what is pinned on the daemon's own bpffs, where the kernel has two files of its own.
func (r *run) pins() []string {
	return slices.DeleteFunc(everything(filepath.Join(r.Dir, "bpf")), func(path string) bool { return strings.HasSuffix(path, ".debug") })
}

func everything(dir string) (found []string) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return []string{err.Error()}
	}
	for _, e := range entries {
		found = append(found, fmt.Sprintf("%s/%s", dir, e.Name()))
	}
	return found
}
