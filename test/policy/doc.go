// SPDX-License-Identifier: Apache-2.0

// Package policy checks deploy/kubernetes with the API server's own code: its strict
// decoding, defaults, validation, and the admission of pods by the policies. It has tests only.
package policy
