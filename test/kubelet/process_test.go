// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sardine-run/sardine/test/e2e"
)

const (
	kubeletPort = 10250
	// pressure is how little space for images the kubelet tolerates, in MiB.
	pressure = 256
	// logSize and logFiles are what the kubelet keeps of a container's log.
	logSize  = 64 << 10
	logFiles = 3
)

// kubelet is the kubelet's process, and its configuration.
type kubelet struct {
	node   *node
	gates  map[string]bool
	log    *os.File
	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd is reaped
	api    *api
}

func (n *node) startKubelet() *kubelet {
	for _, dir := range []string{"manifests", "logs", "host", "kubelet"} {
		if err := os.Mkdir(n.path(dir), 0o755); err != nil {
			n.t.Fatal(err)
		}
	}
	resolv := "nameserver 10.77.0.53\nsearch node.test\n"
	if err := os.WriteFile(n.path("resolv.conf"), []byte(resolv), 0o600); err != nil {
		n.t.Fatal(err)
	}
	k := &kubelet{node: n}
	n.t.Cleanup(func() { k.stop(syscall.SIGKILL) })
	k.start()
	return k
}

// start starts the kubelet and waits until it answers. Where containerd's API is
// has to be said twice: cAdvisor, inside the kubelet, expects it in /run.
func (k *kubelet) start() {
	n := k.node
	if err := os.WriteFile(n.path("kubelet.yaml"), []byte(k.config()), 0o600); err != nil {
		n.t.Fatal(err)
	}
	log, err := os.OpenFile(n.path("kubelet.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	k.log = log
	k.cmd = exec.Command(e2e.Program(n.t, "kubelet"), "--config", n.path("kubelet.yaml"), "--root-dir", n.path("kubelet"),
		"--cert-dir", n.path("pki"), "--hostname-override=node", "--node-ip="+nodeIP, "--containerd="+n.daemon.Address,
		// With one, its garbage collection may remove the container that has just ended before the API tells how it ended, when the next one is
		// created and not started yet.
		"--maximum-dead-containers-per-container=2",
		fmt.Sprintf("--v=%d", k.verbosity()))
	k.cmd.Stdout, k.cmd.Stderr = log, log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	k.exited = make(chan struct{})
	started := make(chan error)
	go own(k.cmd, started, k.exited)
	if err := <-started; err != nil {
		n.t.Fatal(err)
	}
	k.api = newAPI(k)
	eventually(n.t, "the kubelet is healthy", k.healthy)
}

// verbosity is that of the log. A kubelet that gets events writes each of them down twice at 4, before it takes note of it; and every five
// seconds it believes that it has taken note of all. A container whose start is still to be noted then is started again.
func (k *kubelet) verbosity() int {
	if k.gates["EventedPLEG"] {
		return 2
	}
	return 4
}

// own starts a command and waits for it on a thread of its own: the kernel
// sends the parent death signal when the starting thread ends.
func own(cmd *exec.Cmd, started chan<- error, exited chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(exited)
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait() // the state says more
	}
}

// mustRun ends the test if the kubelet has ended.
func (k *kubelet) mustRun() {
	select {
	case <-k.exited:
		k.node.t.Fatalf("the kubelet ended: %v\n%s", k.cmd.ProcessState, k.logTail())
	default:
	}
}

func (k *kubelet) healthy() error {
	k.mustRun()
	_, err := k.api.get("/healthz")
	return err
}

// stop ends the kubelet. Pods stay.
func (k *kubelet) stop(sig syscall.Signal) {
	defer k.log.Close()
	select {
	case <-k.exited:
		return
	default:
	}
	if k.api != nil {
		k.api.close()
	}
	_ = k.cmd.Process.Signal(sig)
	select {
	case <-k.exited:
	case <-time.After(patience):
		k.node.t.Errorf("the kubelet did not end within %v of %v", patience, sig)
		_ = k.cmd.Process.Kill()
		<-k.exited
	}
}

// logTail returns the errors that the kubelet has logged last.
func (k *kubelet) logTail() string {
	const (
		most  = 40
		usual = "Error on socket receive" // whenever a session ends
	)
	data, _ := os.ReadFile(k.node.path("kubelet.log"))
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line[0] == 'E' && !strings.Contains(line, usual) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "")
}

// config asks for quick reactions, and for nothing outside the node's
// directory and cgroup. The kubelet refuses cgroup v1 unless told otherwise, and
// takes an age of zero for its default of two minutes.
func (k *kubelet) config() string {
	n := k.node
	gates := []string{}
	for name, on := range k.gates {
		gates = append(gates, fmt.Sprintf("%s: %v", name, on))
	}
	return fmt.Sprintf(`
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://%s
staticPodPath: %s
podLogsDir: %s
volumePluginDir: %s
resolvConf: %s
port: %d
address: 127.0.0.1
healthzPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: %s
enforceNodeAllocatable: [pods]
podPidsLimit: 512
oomScoreAdj: 0
makeIPTablesUtilChains: false
fileCheckFrequency: 1s
syncFrequency: 1s
registryPullQPS: 0
serializeImagePulls: false
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
containerLogMaxSize: "%d"
containerLogMaxFiles: %d
containerLogMonitorInterval: 3s
imageMinimumGCAge: 1s
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 16Mi, nodefs.available: 64Mi, nodefs.inodesFree: "1000", imagefs.available: %dMi}
evictionPressureTransitionPeriod: 1s
allowedUnsafeSysctls: [net.core.somaxconn]
featureGates: {%s}
`, n.daemon.Address, n.path("manifests"), n.path("logs"), n.path("kubelet", "plugins"), n.path("resolv.conf"), kubeletPort,
		n.cgroup, logSize, logFiles, pressure, strings.Join(gates, ", "))
}
