// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Mount is one of a container's.
type Mount struct {
	Source string // where the node has the directory
	Dir    string // where it can be opened
}

// FindVolume returns the Dir of the volume name. One that is mounted as a whole goes before a part of it, and of
// parts there must be one only.
func FindVolume(mounts []Mount, name string) (string, error) {
	var parts []Mount
	for _, m := range mounts {
		volume, part := volumeName(m.Source)
		switch {
		case volume == "" || volume != name:
		case !part:
			return m.Dir, nil
		case !slices.ContainsFunc(parts, func(p Mount) bool { return p.Source == m.Source }):
			parts = append(parts, m)
		}
	}
	switch len(parts) {
	case 0:
		return "", fmt.Errorf("the container has no volume %s: those in the kubelet's directories have a name, those of type hostPath do not", shorten(name))
	case 1:
		return parts[0].Dir, nil
	}
	return "", fmt.Errorf("volume %s is not mounted as a whole, but by %d subPaths: give the path in the container", shorten(name), len(parts))
}

// volumeName is that of the volume which the kubelet has at path on the node, "" for others. It is a part of the volume when it was
// made for a subPath.
//
//	.../pods/UID/volumes/PLUGIN/NAME[/mount]
//	.../pods/UID/volume-subpaths/NAME/CONTAINER/INDEX
func volumeName(path string) (name string, part bool) {
	elements := strings.Split(filepath.Clean(path), "/")
	n := len(elements)
	if n >= 5 && elements[n-1] == "mount" && elements[n-4] == "volumes" {
		n--
	}
	switch {
	case n >= 4 && elements[n-3] == "volumes":
		return elements[n-1], false
	case n >= 5 && elements[n-4] == "volume-subpaths":
		return elements[n-3], true
	}
	return "", false
}
