// SPDX-License-Identifier: Apache-2.0

// Package setup is what sardine-init does: it furnishes the container from inside
// according to its Plan and becomes the user's program. It runs on one locked
// thread, takes every decision from the Plan and follows no path of the image
// except through openat2(2).
package setup
