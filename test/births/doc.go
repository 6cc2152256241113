// SPDX-License-Identifier: Apache-2.0

// Package births tells which processes a process starts, from the kernel's own record: the tracepoint task_newtask, in a trace of
// the test's own. What is started for a moment only, or outside of a container's pid namespace, is seen too; threads are not processes.
package births
