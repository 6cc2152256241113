// SPDX-License-Identifier: Apache-2.0

// Package nsstore keeps namespaces and small file systems that belong to no process.
//
// They are pinned, by bind mounts, in a mount namespace in which nothing else is: the host's mount
// table gets two lines for all of them, the pin of that namespace and its directory, and they outlive the
// daemon. A Set is what one pod has: its namespaces as descriptors, and its /dev/shm.
package nsstore
