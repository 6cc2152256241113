// SPDX-License-Identifier: Apache-2.0

// Package nri shows pods and containers to NRI plugins and applies what they adjust.
//
// Plugins are processes that the Adaptation starts from a directory or that connect to its socket
// (github.com/containerd/nri). A plugin that connects is told of all pods and containers first, in a
// moment when no operation is under way: each operation on a pod or container lies between Begin
// and Operation.End, and tells the plugins by the methods of Operation. Without a plugin they
// do nothing.
package nri
