// SPDX-License-Identifier: Apache-2.0

// Package tinyimage is a container image of one static program of under 3 KB,
// carried inside the executable and written as an OCI archive, so that
// containers can be started where no registry and no image is at hand.
//
// The program (program/tiny.c) is called true, false, echo, sleep, exit, wait
// and talk; each is in /bin of the image.
package tinyimage
