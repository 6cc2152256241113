// SPDX-License-Identifier: Apache-2.0

// Package kubelet has an unmodified kubelet run pods on the daemon, as on a
// node: standalone, with static pods and no API server. What secrets, config
// maps, service accounts and changes of a running pod need an API server for is
// left out.
//
// One kubelet and one daemon serve all subtests of TestKubelet, in a mount and a
// network namespace of the test's own; SARDINE_KUBELET_DAEMON=containerd shows what
// containerd and runc do in the same tests, and SARDINE_KUBELET_LOGS names a directory
// for the logs.
package kubelet
