// SPDX-License-Identifier: Apache-2.0

// Package podstats reads the resource use of pods and containers, on demand: nothing is
// polled, and a node that nobody asks spends nothing.
package podstats
