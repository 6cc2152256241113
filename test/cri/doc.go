// SPDX-License-Identifier: Apache-2.0

// Package cri drives a real daemon through its CRI socket: with critest,
// Kubernetes' conformance suite for container runtimes, with crictl as people
// do, and with requests that no client would send.
//
// A test starts a [Node]: a daemon in a network namespace of its own, with a
// bridge network made by CNI plugins, and a registry that serves images built
// here under the names critest pulls. Nothing is downloaded and the network of
// the machine is not touched.
//
// SARDINE_CRI_PROGRAM=containerd runs the tests against stock containerd and
// runc instead of sardined, to see what they owe to the tests. Tests of what
// only Sardine promises are skipped then.
package cri
