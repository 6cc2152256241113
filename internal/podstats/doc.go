// SPDX-License-Identifier: Apache-2.0

// Package podstats reads the resource use of pods and containers, on demand: nothing is
// polled, and a node that nobody asks spends nothing.
//
// What must be remembered from one question to the next lies in a History that the pod and the
// container own: the last CPU sample, of which a rate is made, and how far the walk through the
// writable layer has come. A walk takes at most layerBudget of a listing, and goes on with the next.
package podstats
