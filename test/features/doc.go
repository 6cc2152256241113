// SPDX-License-Identifier: Apache-2.0

// Package features looks at each feature of the OCI runtime spec from inside a
// container, through a real daemon and containerd's client. With
// SARDINE_E2E_RUNTIME=io.containerd.runc.v2 the same tests show what runc does.
package features
