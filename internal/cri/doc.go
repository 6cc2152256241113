// SPDX-License-Identifier: Apache-2.0

// Package cri is the CRI RuntimeService: it checks requests and translates them for package pod, and
// translates what that says.
package cri
