// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the code to ARCHITECTURE.md: imports go down its list of
// layers, each package says in one comment what it is about, and sardine-init
// stays small. It has tests only.
package archtest
