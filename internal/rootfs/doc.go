// SPDX-License-Identifier: Apache-2.0

// Package rootfs makes detached mounts: the root file system of a container and the
// copies of host directories bound into it. A detached mount is in no mount
// namespace, so the host's mount table does not grow; sardine-init attaches it
// inside the container's own.
package rootfs
