// SPDX-License-Identifier: Apache-2.0

// Package podspec translates a CRI container into an OCI runtime spec.
//
// It is a pure function of the request, the image's config and what is known of the node:
// it touches nothing but the files it is given functions to read. Every mistake of a request
// is found here, before any side effect.
package podspec
