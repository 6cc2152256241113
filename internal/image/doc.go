// SPDX-License-Identifier: Apache-2.0

// Package image is the node's images: pulls, references, and the layers of those
// in use as lower directories.
//
// It stands on containerd's image, content, snapshot and lease stores, in the
// namespace k8s.io, so that what is pulled here is seen by every client of containerd's
// API and the other way round. Nothing that a container's life needs is written to disk:
// a View, the protection of an image's layers from garbage collection, is made once per
// image, at the end of a pull or by the first container, and shared by all containers.
package image
