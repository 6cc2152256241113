// SPDX-License-Identifier: Apache-2.0

// Package podspec translates a CRI container into an OCI runtime spec.
//
// The translation depends on the request, the image's config and what is known of the node
// alone. It changes nothing, and looks only at what it is given functions to read. Every
// mistake of a request is found here, before any side effect. What a spec relies on and the
// host does not have yet is listed in the Result, whose method Prepare makes it.
package podspec
