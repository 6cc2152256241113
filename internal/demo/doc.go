// SPDX-License-Identifier: Apache-2.0

// Package demo shows what Sardine does on a machine with nothing prepared: a
// private daemon, an image carried in the executable, many containers, and
// what they cost.
package demo
