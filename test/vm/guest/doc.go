// SPDX-License-Identifier: Apache-2.0

// Package guest tests what only a whole machine can show: sardined as a unit of
// a real systemd, on a unified cgroup tree with every controller. Its tests are
// compiled with the tag vm by test/vm and run as root in the machine it boots;
// they change that machine (units, cgroups, the default socket) and must never
// run anywhere else.
package guest
