// SPDX-License-Identifier: Apache-2.0

// Package plugintest calls a CNI plugin inside the process and the reference program of its type, each in a pair of network
// namespaces of its own that stand for a host and a pod, so that tests can compare what they say and do.
package plugintest
