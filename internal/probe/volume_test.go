// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strings"
	"testing"
)

func TestFindVolume(t *testing.T) {
	const pod = "/var/lib/kubelet/pods/5a1b/"
	var mounts []Mount
	for source, dir := range map[string]string{
		pod + "volumes/kubernetes.io~empty-dir/plain":          "plain",
		pod + "volumes/kubernetes.io~csi/pvc-1/mount":          "csi",
		"/pods/5a1b/volumes/kubernetes.io~empty-dir/own-disk/": "own-disk", // as mountinfo shows it of a file system of the kubelet's
		pod + "volume-subpaths/one/app/0":                      "one",
		pod + "volume-subpaths/two/app/0":                      "two-0",
		pod + "volume-subpaths/two/app/1":                      "two-1",
		pod + "volumes/kubernetes.io~empty-dir/both":           "both",
		pod + "volume-subpaths/both/app/2":                     "both-2",
		pod + "volumes/kubernetes.io~empty-dir/mount":          "named-mount",
		pod + "etc-hosts":                                      "hosts",
		"/data":                                                "data",
		"/":                                                    "root",
		"":                                                     "nothing",
		"/volumes":                                             "volumes",
		"/x/mount":                                             "x",
	} {
		mounts = append(mounts, Mount{source, dir})
	}
	mounts = append(mounts, mounts...) // the same in two places is one
	for name, want := range map[string]string{
		"plain": "plain", "pvc-1": "csi", "own-disk": "own-disk", "one": "one", "both": "both", "mount": "named-mount",
	} {
		if dir, err := FindVolume(mounts, name); err != nil || dir != want {
			t.Errorf("%s: %q, %v", name, dir, err)
		}
	}
	for name, want := range map[string]string{
		"two": "by 2 subPaths", "data": "no volume data", "etc-hosts": "no volume", "app": "no volume", "": "no volume", "volumes": "no volume", "x": "no volume", "a\nb": `no volume a\nb`,
	} {
		if dir, err := FindVolume(mounts, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want an error with %q", name, dir, err, want)
		}
	}
}
