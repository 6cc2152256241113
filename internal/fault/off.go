// SPDX-License-Identifier: Apache-2.0

//go:build !faults

package fault

// Enabled reports whether points can be armed in this build.
const Enabled = false

// Point returns the error that name is armed with, or nil.
func Point(Name) error { return nil }
