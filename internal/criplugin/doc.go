// SPDX-License-Identifier: Apache-2.0

// Package criplugin assembles the CRI server out of containerd's configuration: it takes the place of
// containerd's own CRI plugin, reads the same sections, and keeps that plugin for the runtime handlers
// of shims.
package criplugin
