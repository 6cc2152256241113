// SPDX-License-Identifier: Apache-2.0

// Package tuning is the CNI plugin "tuning": sysctls of the pod's network namespace and attributes of its interface.
//
// Attributes it changes are written down in dataDir first, one JSON file per attachment as the reference plugin writes
// it, so that DEL can give an interface back as it was. Sysctls are not given back: they end with the namespace.
//
// Documentation: https://www.cni.dev/plugins/current/meta/tuning/.
package tuning
