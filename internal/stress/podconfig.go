// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"os"
	"path/filepath"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// dress adds to the configuration of a pod what a kubelet sends for the
// simplest of pods: labels, annotations, DNS, an environment with the addresses
// of two services, three mounts, resources and paths to mask. Records of pods
// are as large as on a node then.
func (p *pod) dress() {
	name, id := p.config.Metadata.Name, p.config.Metadata.Uid
	identity := map[string]string{
		"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": p.config.Metadata.Namespace, "io.kubernetes.pod.uid": id,
	}
	labels := p.config.Labels
	for key, value := range identity {
		labels[key] = value
	}
	labels["app"], labels["pod-template-hash"] = "stress", "6d4b75cb6d"
	p.config.Annotations = map[string]string{"kubernetes.io/config.seen": "2026-01-01T00:00:00.000000000Z", "kubernetes.io/config.source": "api"}
	p.config.DnsConfig = &cri.DNSConfig{
		Servers:  []string{"10.96.0.10"},
		Searches: []string{"default.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		Options:  []string{"ndots:5"},
	}
	p.only.Labels = identity
	p.only.Labels["io.kubernetes.container.name"] = p.only.Metadata.Name
	p.only.Annotations = map[string]string{
		"io.kubernetes.container.hash": "30cb5ea", "io.kubernetes.container.restartCount": "0",
		"io.kubernetes.container.terminationMessagePath":   "/dev/termination-log",
		"io.kubernetes.container.terminationMessagePolicy": "File", "io.kubernetes.pod.terminationGracePeriod": "30",
	}
	p.only.Envs = environment()
	p.only.Mounts = p.client.mounts()
	p.only.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2, OomScoreAdj: 1000}
	security := p.only.Linux.SecurityContext
	security.MaskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	security.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// environment names two services, as a kubelet does for each one of the
// namespace.
func environment() []*cri.KeyValue {
	var all []*cri.KeyValue
	for _, service := range []string{"KUBERNETES", "STRESS"} {
		for _, one := range [][2]string{
			{"_SERVICE_HOST", "10.96.0.1"}, {"_SERVICE_PORT", "443"}, {"_SERVICE_PORT_HTTPS", "443"}, {"_PORT", "tcp://10.96.0.1:443"},
			{"_PORT_443_TCP", "tcp://10.96.0.1:443"}, {"_PORT_443_TCP_PROTO", "tcp"}, {"_PORT_443_TCP_PORT", "443"}, {"_PORT_443_TCP_ADDR", "10.96.0.1"},
		} {
			all = append(all, &cri.KeyValue{Key: service + one[0], Value: []byte(one[1])})
		}
	}
	return all
}

// What a kubelet mounts into each container, by the names in the directory of
// the run, which all pods of a run share: whose files they are is not what is
// measured.
const (
	accountName = "serviceaccount"
	hostsName   = "etc-hosts"
	messageName = "termination-log"
)

func (c *podClient) mounts() []*cri.Mount {
	return []*cri.Mount{
		{ContainerPath: "/var/run/secrets/kubernetes.io/serviceaccount", HostPath: filepath.Join(c.dir, accountName), Readonly: true},
		{ContainerPath: "/etc/hosts", HostPath: filepath.Join(c.dir, hostsName)},
		{ContainerPath: "/dev/termination-log", HostPath: filepath.Join(c.dir, messageName)},
	}
}

// makeDir makes the directory of the run, with the logs and what is mounted.
func (c *podClient) makeDir() (err error) {
	if c.dir, err = os.MkdirTemp("", "sardine-stress-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(c.dir, accountName), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{hostsName: "127.0.0.1\tlocalhost\n", messageName: "", accountName + "/token": "none\n"} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
