// SPDX-License-Identifier: Apache-2.0

// Package throwaway runs sardined, or containerd, on a temporary directory and
// removes every trace of it afterwards.
//
// The daemon shares nothing with one already on the machine: sockets, root,
// state and the directories of its plugins are below the temporary directory.
package throwaway
