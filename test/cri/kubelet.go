// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"os"
	"path/filepath"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The sizes of what a kubelet sends: some 2 KB for a pod and 3 KB for a container.

// likeKubelet gives a pod the labels, annotations and resources that a kubelet sends.
func likeKubelet(c *runtime.PodSandboxConfig) {
	name, uid := c.Metadata.Name, c.Metadata.Uid
	c.Labels = map[string]string{
		"app.kubernetes.io/name": "checkout", "app.kubernetes.io/part-of": "shop", "app.kubernetes.io/version": "2.31.4",
		"pod-template-hash": "7c5ddbdf54", "controller-revision-hash": "checkout-6b9bf8c7d5",
		"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": c.Metadata.Namespace, "io.kubernetes.pod.uid": uid,
	}
	c.Annotations = map[string]string{
		"kubernetes.io/config.seen": "2026-08-01T10:11:12.123456789Z", "kubernetes.io/config.source": "api",
		"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics",
		"cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
		"checksum/config": "8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d",
	}
	c.DnsConfig = &runtime.DNSConfig{
		Servers: []string{"10.96.0.10"}, Options: []string{"ndots:5"},
		Searches: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"},
	}
	c.Linux.Resources = &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 102, MemoryLimitInBytes: 256 << 20}
	c.Linux.Overhead = &runtime.LinuxContainerResources{}
	c.Linux.SecurityContext.Seccomp = &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_RuntimeDefault}
}

// likeKubelet gives a container the labels, variables and mounts that a kubelet sends. Sources lie below the pod's logs.
func (p *Pod) likeKubelet(c *runtime.ContainerConfig) {
	name := p.Config.Metadata.Name
	c.Labels = map[string]string{
		"io.kubernetes.container.name": c.Metadata.Name, "io.kubernetes.pod.name": name,
		"io.kubernetes.pod.namespace": p.Config.Metadata.Namespace, "io.kubernetes.pod.uid": p.Config.Metadata.Uid,
	}
	c.Annotations = map[string]string{
		"io.kubernetes.container.hash": "d464c4da", "io.kubernetes.container.ports": `[{"name":"http","containerPort":8080,"protocol":"TCP"}]`,
		"io.kubernetes.container.restartCount": "0", "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
		"io.kubernetes.container.terminationMessagePolicy": "File", "io.kubernetes.pod.terminationGracePeriod": "30",
	}
	for i, service := range []string{"KUBERNETES", "CHECKOUT", "CART", "PAYMENT", "CATALOG"} {
		address := fmt.Sprintf("10.96.0.%d", i+1)
		for _, kv := range [][2]string{
			{"_SERVICE_HOST", address}, {"_SERVICE_PORT", "443"}, {"_SERVICE_PORT_HTTPS", "443"}, {"_PORT", "tcp://" + address + ":443"},
			{"_PORT_443_TCP", "tcp://" + address + ":443"}, {"_PORT_443_TCP_PROTO", "tcp"}, {"_PORT_443_TCP_PORT", "443"}, {"_PORT_443_TCP_ADDR", address},
		} {
			c.Envs = append(c.Envs, &runtime.KeyValue{Key: service + kv[0], Value: []byte(kv[1])})
		}
	}
	for _, m := range [][2]string{
		{"etc-hosts", "/etc/hosts"}, {"termination-log", "/dev/termination-log"}, {"config", "/etc/checkout"}, {"cache", "/var/cache/checkout"},
	} {
		source := filepath.Join(p.Config.LogDirectory, m[0])
		if m[0] == "etc-hosts" || m[0] == "termination-log" {
			_ = os.WriteFile(source, nil, 0o644)
		} else {
			_ = os.MkdirAll(source, 0o755)
		}
		c.Mounts = append(c.Mounts, &runtime.Mount{HostPath: source, ContainerPath: m[1], Readonly: m[0] == "config"})
	}
	c.Linux.Resources = &runtime.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 102, MemoryLimitInBytes: 256 << 20,
		HugepageLimits: []*runtime.HugepageLimit{{PageSize: "2MB"}, {PageSize: "1GB"}},
	}
	c.Linux.SecurityContext = &runtime.LinuxContainerSecurityContext{
		NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER}, RunAsUser: &runtime.Int64Value{},
		Seccomp: &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_RuntimeDefault}, NoNewPrivs: true,
		MaskedPaths:   []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
}
