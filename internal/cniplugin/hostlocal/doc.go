// SPDX-License-Identifier: Apache-2.0

// Package hostlocal is the CNI plugin host-local: addresses out of ranges that belong to this host.
//
// A lease is a file: its name is the address, its content who has it. The directory, the files and the lock on it are those of
// the reference plugin 1.9, so that its program can work in the same directory at the same time. What is
// taken and by whom is also kept in memory, as a hint: it holds while nobody else has changed the directory, a lease is read
// before it is given up, and that an address is free is decided by the kernel when the file is made. So neither ADD
// nor DEL takes longer when there are more leases.
//
// Configuration: https://www.cni.dev/plugins/current/ipam/host-local/
package hostlocal
