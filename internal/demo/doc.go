// SPDX-License-Identifier: Apache-2.0

// Package demo shows what Sardine does on a machine with nothing prepared: a
// private daemon, an image carried in the executable, many containers, what
// they cost, and a pod with an address without any CNI plugin.
package demo
