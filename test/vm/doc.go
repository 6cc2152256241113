// SPDX-License-Identifier: Apache-2.0

// Command vm runs Sardine's privileged tests inside a virtual machine.
//
// The machine of whoever runs the tests decides too much: its cgroup mode, its
// init system, its kernel. This command boots one that is always the same:
// Debian 12 with its cloud kernel (6.1, so without most of the newer calls
// Sardine prefers), a unified cgroup tree with every controller, real systemd.
//
// Two disks make the machine. The base image is Debian and nothing of ours; it
// is made once per recipe (package list and scripts, by content hash), cached
// and never written to, as qemu sends all writes to a temporary file. The
// payload is a read-only disk made at every run from bin/, the compiled tests
// of suite.go and the unit file.
//
// The guest has two ways to speak. The serial console carries the kernel and
// systemd, and is shown only when something goes wrong. A virtio port carries
// the tests' output between the markers of report.go; a guest that stops
// before its last marker has failed, whatever it printed.
//
// Where KVM does not run the guest, qemu emulates it, ten to twenty times
// slower; SARDINE_SLOW=1 tells the tests so.
package main
