// SPDX-License-Identifier: Apache-2.0

// Package criimage is the CRI ImageService over package image.
//
// It translates and nothing else: what an argument means, and whether it is one, package
// image decides. Every error is a gRPC status.
package criimage
