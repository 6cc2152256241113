// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// BenchmarkTranslate is a container as a kubelet asks for it: the promise is 0.3 ms.
func BenchmarkTranslate(b *testing.B) {
	c := kubeletContainer()
	for _, bench := range []struct {
		name string
		host Host
		want func(*Container)
	}{
		{"kubelet", Host{}, func(*Container) {}},
		{"privileged", Host{}, func(c *Container) {
			c.Pod.Config.Linux.SecurityContext.Privileged = true
			c.Config.Linux.SecurityContext.Privileged = true
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			n := testNode()
			n.Host = bench.host
			bench.want(c)
			tr := newTranslator(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Translate(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// kubeletContainer has what a kubelet sends for an ordinary one.
func kubeletContainer() *Container {
	c := testContainer()
	c.ReadFile = files(map[string]string{"/etc/passwd": passwd, "/etc/group": group})
	c.Config.Envs = []*runtime.KeyValue{}
	for _, k := range []string{"KUBERNETES_PORT", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_PORT_443_TCP", "A", "B", "C"} {
		c.Config.Envs = append(c.Config.Envs, &runtime.KeyValue{Key: k, Value: []byte("tcp://10.96.0.1:443")})
	}
	for _, m := range []string{"/etc/hosts", "/dev/termination-log", "/var/run/secrets/kubernetes.io/serviceaccount", "/data"} {
		c.Config.Mounts = append(c.Config.Mounts, &runtime.Mount{ContainerPath: m, HostPath: "/etc/hostname", SelinuxRelabel: true})
	}
	c.Config.Annotations = map[string]string{"io.kubernetes.container.hash": "5b1f2c", "io.kubernetes.container.restartCount": "0"}
	c.Config.Linux.Resources = &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 128 << 20, OomScoreAdj: 985}
	s := c.Config.Linux.SecurityContext
	s.RunAsUser = &runtime.Int64Value{Value: 0}
	s.MaskedPaths = []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}
	s.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	s.Seccomp = &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_RuntimeDefault}
	return c
}
