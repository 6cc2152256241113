// SPDX-License-Identifier: Apache-2.0

package netcheck

// MasqueradeComment is what the plugins write, cut off as they do.
func MasqueradeComment(network, ifName, id string) string {
	comment := attachmentHash(network, ifName, id) + ", net: " + network + ", if: " + ifName + ", id: " + id
	return comment[:min(len(comment), 128)]
}
