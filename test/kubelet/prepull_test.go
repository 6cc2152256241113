// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"os"
	"strings"
	"testing"
)

// testPrepull: the pod of the DaemonSet that pulls images ahead, with images that the test has.
func testPrepull(t *testing.T, n *node) {
	manifest, err := os.ReadFile("../../deploy/kubernetes/prepull.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, spec, _ := strings.Cut(string(manifest), "\n    spec:")
	spec = strings.NewReplacer("\n      ", "\n",
		"image: registry.k8s.io/pause:3.10.2", "image: {{busybox}}\n    command: [sleep, 1d]",
		"docker.io/library/busybox:1.37.0", "{{busybox}}", "registry.k8s.io/etcd:3.6.8-0", "{{user}}", "docker.io/valkey/valkey:9.0", "{{server}}",
	).Replace(spec)
	p := n.run(t, spec)
	p.ready()
	expect(t, "images that are mounted", p.sh("keep", "cd /images && ls -d */bin | xargs"), "busybox/bin etcd/bin valkey/bin")
	expect(t, "who the container runs as", p.sh("keep", "id -u"), "65535")
}
