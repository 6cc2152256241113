// SPDX-License-Identifier: Apache-2.0

// Package bandwidth is the CNI plugin "bandwidth": it limits the rate of what enters and leaves a pod.
//
// What enters the pod is shaped by a token bucket on the host's end of its veth pair; what leaves it is redirected to an ifb
// device, which has another. See tc-tbf(8). The device is named after network and container, so that DEL needs nothing else.
//
// The kernel takes 10 to 30 ms to delete an ifb. DEL therefore gives it a link group of its own and returns; whatever is in that
// group is deleted behind it, in one go, also by the next daemon when this one was killed in between.
//
// Documentation: https://www.cni.dev/plugins/current/meta/bandwidth/.
package bandwidth
