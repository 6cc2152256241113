// SPDX-License-Identifier: Apache-2.0

// Package exits tells who exited and how: one epoll over pidfds for every process that is
// watched, and an eBPF program that keeps on recording while no daemon runs.
//
// The status of a child comes from waitid(2). That of a process whose parent, an earlier
// daemon, has died comes from the eBPF program's record, else from the kernel's own record
// on the pidfd (Linux 6.15), else from the zombie's /proc/PID/stat if it is still there,
// and else it is 255 with the reason.
//
// The program hangs on the tracepoint sched_process_exit (tp_btf, Linux 5.5 with BTF). Its
// link and its map are pinned on a bpffs and outlive the daemon: it costs a map look-up per
// process that ends on the node. It looks at processes only that were registered before.
package exits

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang -cflags "-O2 -g -Wall -Werror" -type identity -type record recorder bpf/exits.c
