// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// imageSpace is the size of the file system that the daemon's root is on, in
// MiB: small, so that a test can fill it.
const imageSpace = 768

// node is a machine as Kubernetes sees one: a daemon and a kubelet.
type node struct {
	t       testing.TB
	dir     string // everything of the node's
	cgroup  string // parent of all pods' cgroups, from a hierarchy's root
	images  images
	daemon  *e2e.Daemon
	kubelet *kubelet
	cri     cri.RuntimeServiceClient
	pulls   cri.ImageServiceClient
}

// startNode starts daemon and kubelet. When the test ends no pod may be left,
// and the machine must be as before.
func startNode(t *testing.T) *node {
	testnode.NeedRoot(t)
	lockMachine(t)
	dir, err := os.MkdirTemp("/tmp", "kubelet-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: t, dir: dir, cgroup: fmt.Sprintf("/kubelet-e2e-%d", os.Getpid())}
	testnode.CheckClean(t, testnode.Options{
		Dirs: []string{dir}, Cgroups: []string{n.cgroup}, Everything: os.Getenv("CI") == "true",
	})
	n.hideDirectories()
	n.keepSysctls()
	n.makeCgroups()
	n.images = pushImages(t)
	n.daemon = n.startDaemon()
	n.openDirectories()
	n.dial()
	n.kubelet = n.startKubelet()
	t.Cleanup(n.keepLogs)
	t.Cleanup(n.finish)
	return n
}

// lockMachine waits for other runs of this test. What a kubelet does to the whole
// machine, two could not undo: each would take the other's settings for the
// machine's own.
func lockMachine(t *testing.T) {
	settings, err := os.Open("/proc/sys/vm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { settings.Close() })
	for deadline := time.Now().Add(turn); ; time.Sleep(time.Second) {
		err := unix.Flock(int(settings.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("another run of this test has not ended within %v: %v", turn, err)
		}
	}
}

// path names something in the node's directory.
func (n *node) path(elements ...string) string {
	return filepath.Join(append([]string{n.dir}, elements...)...)
}

// hideDirectories puts empty ones over those that the kubelet knows by fixed
// names, so that they are nobody else's.
func (n *node) hideDirectories() {
	n.mountTmpfs(n.path("root"), fmt.Sprintf("size=%dm", imageSpace))
	for _, dir := range []string{"/var/lib/kubelet", "/var/log/containers"} {
		n.mountTmpfs(dir, "size=16m")
	}
}

// openDirectories lets processes without root's identity, those of user
// namespaces, find their files.
func (n *node) openDirectories() {
	for _, dir := range []string{n.dir, n.daemon.Dir} {
		if err := os.Chmod(dir, 0o711); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *node) mountTmpfs(dir, options string) {
	if err := os.Mkdir(dir, 0o755); err == nil {
		n.t.Cleanup(func() { os.Remove(dir) })
	} else if !errors.Is(err, fs.ErrExist) {
		n.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		n.t.Fatalf("mount a tmpfs on %s: %v", dir, err)
	}
	n.t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			n.t.Errorf("unmount %s: %v", dir, err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
}

// keepSysctls puts back what the kubelet changes, for the whole machine.
func (n *node) keepSysctls() {
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	} {
		path := filepath.Join("/proc/sys", name)
		value, err := os.ReadFile(path)
		if err != nil {
			continue // the kubelet does not find it either
		}
		n.t.Cleanup(func() {
			if err := os.WriteFile(path, value, 0); err != nil {
				n.t.Errorf("restore %s: %v", path, err)
			}
		})
	}
}

func (n *node) dial() {
	conn, err := grpc.NewClient("unix://"+n.daemon.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	n.cri, n.pulls = cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)
}

// finish checks that nothing is left of the pods, which their tests removed.
func (n *node) finish() {
	if n.t.Failed() {
		n.t.Logf("log of the kubelet:\n%s", n.kubelet.logTail())
		n.removeSandboxes()
	} else {
		eventually(n.t, "no pod is left", n.noPods)
		eventually(n.t, "no cgroup of a pod is left", n.noPodCgroups)
		eventually(n.t, "no address is taken", n.noAddresses)
		eventually(n.t, "no log is left", func() error { return emptyDirectory(n.path("logs")) })
		eventually(n.t, "no link to a log is left", func() error { return emptyDirectory("/var/log/containers") })
	}
	n.kubelet.stop(unix.SIGTERM)
	n.removeCgroups()
}

// keepLogs copies the logs of kubelet and daemon to SARDINE_KUBELET_LOGS.
func (n *node) keepLogs() {
	dir := os.Getenv("SARDINE_KUBELET_LOGS")
	if dir == "" {
		return
	}
	log, err := os.ReadFile(n.path("kubelet.log"))
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "kubelet.log"), log, 0o644),
		os.WriteFile(filepath.Join(dir, "daemon.log"), []byte(n.daemon.Log()), 0o644))
	if err != nil {
		n.t.Errorf("keep the logs: %v", err)
	}
}

func (n *node) noPods() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pods, errPods := n.cri.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	containers, errContainers := n.cri.ListContainers(ctx, &cri.ListContainersRequest{})
	if err := errors.Join(errPods, errContainers); err != nil {
		return err
	}
	if len(pods.Items)+len(containers.Containers) > 0 {
		return fmt.Errorf("sandboxes %v, containers %v", pods.Items, containers.Containers)
	}
	return nil
}

// noAddresses looks at the files of the host-local plugin: an address that is
// not given back has one.
func (n *node) noAddresses() error {
	files, err := filepath.Glob(n.path("ipam", "*", "[0-9]*"))
	if err == nil && len(files) > 0 {
		return fmt.Errorf("%v", files)
	}
	return err
}

func emptyDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s has %v", dir, entries)
	}
	return err
}

// removeSandboxes is for after a failure, so that the next test finds a clean
// machine.
func (n *node) removeSandboxes() {
	n.kubelet.stop(unix.SIGKILL)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pods, err := n.cri.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		n.t.Logf("list the pods left over: %v", err)
		return
	}
	for _, p := range pods.Items {
		_, errStop := n.cri.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.Id})
		_, errRemove := n.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.Id})
		if err := errors.Join(errStop, errRemove); err != nil {
			n.t.Logf("remove pod %s: %v", p.Metadata.GetName(), err)
		}
	}
	n.unmountBelow(n.path("kubelet"))
}

// unmountBelow undoes the mounts of volumes that a dead kubelet left.
func (n *node) unmountBelow(dir string) {
	data, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			_ = unix.Unmount(fields[1], unix.MNT_DETACH)
		}
	}
}

const (
	// patience is how long anything may take. Nothing needs a tenth of it, but
	// machines are slow and busy, a kubelet backs off after errors, and what it
	// collects once a minute it may fail to collect the first time.
	patience = 3 * time.Minute
	// turn is how long other runs of this test may take.
	turn = 10 * time.Minute
	// pause lies between two looks.
	pause = 100 * time.Millisecond
)

// eventually looks until what it waits for is so, and otherwise ends the test
// with the last reason why not.
func eventually(t testing.TB, what string, look func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
		time.Sleep(pause)
	}
}
