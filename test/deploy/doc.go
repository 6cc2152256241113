// SPDX-License-Identifier: Apache-2.0

// Package deploy checks what deploy/ has for others to install: the rules of alerts by
// promtool, and that every metric that rules and dashboard are made of is one that a
// daemon has. It has tests only.
package deploy
