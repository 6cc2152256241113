// SPDX-License-Identifier: Apache-2.0

// Package criimage is the CRI ImageService over package image.
package criimage
