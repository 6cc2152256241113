// SPDX-License-Identifier: Apache-2.0

// Package masquerade makes packets leave the node under the node's address when they come from a pod and go outside of
// its network.
//
// Rules, comments and names are those of the reference plugins 1.9 (their pkg/ip), whose rules are found and
// deleted here and the other way round.
package masquerade
