// SPDX-License-Identifier: Apache-2.0

// Package task is containerd's door to the containers: it implements core/runtime's
// interfaces, which the tasks service calls, over package container, and publishes the
// events that containerd's shim would.
//
// Runtime names that are not ours go to containerd's own shim manager, which is held
// inside; lists of tasks show both.
package task
