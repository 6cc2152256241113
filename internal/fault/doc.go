// SPDX-License-Identifier: Apache-2.0

// Package fault makes named steps fail in tests, to see that whatever was done before is
// undone.
//
// Without the build tag "faults" a Point compiles to nothing. With it, the environment
// variable SARDINE_FAULTS arms points: "container.create.cgroup=no space left", several
// separated by commas.
package fault
