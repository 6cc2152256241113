// SPDX-License-Identifier: Apache-2.0

// Package network tests the network of pods of a real daemon, driven by crictl as people do: what is configured wrongly, what is not
// configured at all, and daemons that are killed while pods come and go. Below it are tests of the plugins inside the
// daemon, without one.
package network
