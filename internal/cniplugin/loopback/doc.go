// SPDX-License-Identifier: Apache-2.0

// Package loopback is the CNI plugin of that name: it brings up the interface lo, whatever interface it is asked for.
package loopback
