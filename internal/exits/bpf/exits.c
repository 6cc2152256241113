// SPDX-License-Identifier: Apache-2.0 OR BSD-2-Clause OR GPL-2.0-only

// Records how tracked thread groups end, for a daemon that may not be there to ask.
//
// It needs libbpf's headers only. The kernel structures below name no more than the fields
// read here; their offsets are relocated against the BTF of the running kernel (CO-RE).

typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned char __u8;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#define BPF_MAP_TYPE_HASH 1
#define BPF_F_NO_PREALLOC 1 /* an entry costs memory only while it exists */
#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h, the same from 5.5 to 6.18 */
#define MAX_PID_NS_LEVEL 32
#define PIDTYPE_TGID 1 /* include/linux/pid_types.h, since 4.19 */
#define INIT_PID_NS_INUM 0xEFFFFFFCU /* PROC_PID_INIT_INO */
#define TICK_NS 10000000ULL	     /* USER_HZ is 100: the unit of field 22 of /proc/PID/stat */

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	struct pid *pids[4];
	int group_exit_code;
	unsigned int flags;
};

struct task_struct {
	int exit_code;
	int tgid;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	__u64 start_boottime; /* so named since 5.5, as old as tp_btf itself */
};

#pragma clang attribute pop

/* The process: its pid can be taken by another, not together with its start. */
struct identity {
	__u32 tgid; /* in the pid namespace of the daemon */
	__u32 pad;
	__u64 start_ticks;
};

/*
 * How it ended. The daemon puts in a zeroed record, so that nothing is allocated, and
 * nothing can fail, at the exit. There are two places for the status: see record_exit.
 */
struct record {
	__u64 boot_ns; /* CLOCK_BOOTTIME of the exit */
	__u32 leader_done;
	__u32 leader_status; /* status word of wait(2) */
	__u32 other_done;
	__u32 other_status;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct identity);
	__type(value, struct record);
} tracked SEC(".maps");

/* Inode of the daemon's pid namespace, set before loading. */
const volatile __u32 pid_namespace_inum = INIT_PID_NS_INUM;

/* The pid of leader as the daemon sees it, 0 when it does not see it. */
static __always_inline __u32 visible_pid(struct task_struct *leader)
{
	if (pid_namespace_inum == INIT_PID_NS_INUM)
		return leader->tgid;

	struct signal_struct *signal = BPF_CORE_READ(leader, signal);
	struct pid *pid = 0;

	bpf_core_read(&pid, sizeof(pid), &signal->pids[PIDTYPE_TGID]);

	unsigned int level = BPF_CORE_READ(pid, level);
	void *number = (void *)pid + bpf_core_field_offset(pid->numbers);

	/* The array is longer than declared: one entry per level. */
	for (int i = 0; i <= MAX_PID_NS_LEVEL && i <= level; i++) {
		struct pid_namespace *ns = 0;
		struct upid *at = number + i * bpf_core_type_size(struct upid);

		bpf_core_read(&ns, sizeof(ns), &at->ns);
		if (BPF_CORE_READ(ns, ns.inum) == pid_namespace_inum)
			return BPF_CORE_READ(at, nr);
	}
	return 0;
}

/*
 * Runs for every thread, after it took itself off signal->live: only when none is left
 * the group has ended.
 *
 * The status is wait(2)'s: the group's exit code when something ended the whole group,
 * else that of the leader, which may have left long before the last thread.
 *
 * Two threads that leave together may both find live at zero, and one of them may look
 * at the leader's exit_code just before the leader sets it. So the leader, if it is one
 * of them, writes to a place of its own, and what it wrote is what counts.
 */
SEC("tp_btf/sched_process_exit")
int record_exit(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct signal_struct *signal = task->signal;

	if (signal->live.counter != 0)
		return 0;

	struct task_struct *leader = task->group_leader;
	struct identity id = {
		.tgid = visible_pid(leader),
		.start_ticks = leader->start_boottime / TICK_NS,
	};
	struct record *record = bpf_map_lookup_elem(&tracked, &id);
	if (!record)
		return 0;

	/*
	 * Not by plain loads: clang merges the two into one instruction, which some verifiers
	 * refuse because the pointers are of different kinds.
	 */
	__u32 status;
	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		status = BPF_CORE_READ(signal, group_exit_code);
	else
		status = BPF_CORE_READ(leader, exit_code);

	record->boot_ns = bpf_ktime_get_boot_ns();
	if (task == leader) {
		record->leader_status = status;
		record->leader_done = 1;
	} else {
		record->other_status = status;
		record->other_done = 1;
	}
	return 0;
}

/* The tracing helpers ask for a licence that is compatible with the kernel's. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
