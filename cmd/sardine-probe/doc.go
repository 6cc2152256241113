// SPDX-License-Identifier: Apache-2.0

// Command sardine-probe is the health probe that the daemon answers without a process, as a program: for images that
// run on other runtimes too. Where the daemon answers, this program is never started.
//
// Arguments, output and exit codes are the same; package probe has them. What it looks at is itself, so there are differences:
//
//   - PATH is resolved in this process's root, which is that of the container; the daemon takes the main process's, which that one may have
//     changed by chroot(2).
//   - A file system that does not answer holds up this process until it is killed; the daemon gives up in time.
//   - volume:NAME is found through /proc/self/mountinfo, which shows the kubelet's directory of most volumes, but not of those that are
//     file systems of their own: emptyDir in memory, CSI, secrets and tokens.
//   - alive looks at process 1, which is another than the main one in a pod that shares its pid namespace, and
//     cannot see that it is frozen: this process would be too.
package main
