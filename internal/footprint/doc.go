// SPDX-License-Identifier: Apache-2.0

// Package footprint measures what running containers cost a node beside the
// programs in them: memory, processes and mounts, read from /proc.
package footprint
