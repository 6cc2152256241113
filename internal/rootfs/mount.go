// SPDX-License-Identifier: Apache-2.0

package rootfs

// Mount is one mount of a snapshot, in the terms of mount(8): what containerd's
// snapshotters return.
type Mount struct {
	Type    string // "overlay", "bind" or any file system
	Source  string
	Options []string
}

// IDMap is a range of ids: Inside.. in the container are Outside.. on the host.
// It is a line of user_namespaces(7)'s uid_map.
type IDMap struct {
	Inside, Outside, Size uint32
}

// Mapping is the id map of an idmapped mount, mount_setattr(2) MOUNT_ATTR_IDMAP.
type Mapping struct {
	UIDs, GIDs []IDMap
}
