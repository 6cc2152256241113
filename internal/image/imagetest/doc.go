// SPDX-License-Identifier: Apache-2.0

// Package imagetest gives tests containerd's real stores in a temporary directory, and a
// real registry on the loopback interface with images made by the test.
package imagetest
