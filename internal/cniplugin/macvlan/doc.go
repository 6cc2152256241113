// SPDX-License-Identifier: Apache-2.0

// Package macvlan is the CNI plugin macvlan: pods with a hardware address of their own on an interface of the host.
//
// Configuration: https://www.cni.dev/plugins/current/main/macvlan/
package macvlan
