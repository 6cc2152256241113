// SPDX-License-Identifier: Apache-2.0

// Package systemd runs the daemon as a unit of real systemd, from the unit file that is installed, and
// proves that restart, kill -9 and an upgrade of the binary lose nothing of its pods and containers.
// It changes the machine: run it with test/vm/run test/systemd.
package systemd
