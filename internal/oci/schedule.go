// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// policies of sched(7). SCHED_ISO has a number and no implementation in Linux.
var policies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: unix.SCHED_NORMAL, specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR,
	specs.SchedBatch: unix.SCHED_BATCH, specs.SchedIdle: unix.SCHED_IDLE, specs.SchedDeadline: unix.SCHED_DEADLINE,
}

// schedulerFlags are those of sched_setattr(2).
var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork:  unix.SCHED_FLAG_RESET_ON_FORK,
	specs.SchedFlagReclaim:      unix.SCHED_FLAG_RECLAIM,
	specs.SchedFlagDLOverrun:    unix.SCHED_FLAG_DL_OVERRUN,
	specs.SchedFlagKeepPolicy:   unix.SCHED_FLAG_KEEP_POLICY,
	specs.SchedFlagKeepParams:   unix.SCHED_FLAG_KEEP_PARAMS,
	specs.SchedFlagUtilClampMin: unix.SCHED_FLAG_UTIL_CLAMP_MIN,
	specs.SchedFlagUtilClampMax: unix.SCHED_FLAG_UTIL_CLAMP_MAX,
}

func (t *translation) scheduler(p *specs.Process) error {
	s := p.Scheduler
	if s == nil {
		return nil
	}
	if s.Policy == specs.SchedISO {
		return unsupported("process.scheduler: SCHED_ISO is not implemented by Linux")
	}
	policy, ok := policies[s.Policy]
	if !ok {
		return invalid("process.scheduler: unknown policy %q", s.Policy)
	}
	if err := checkScheduler(s); err != nil {
		return err
	}
	out := &plan.Scheduler{
		Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority),
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for _, name := range s.Flags {
		flag, ok := schedulerFlags[name]
		if !ok {
			return invalid("process.scheduler: unknown flag %q", name)
		}
		out.Flags |= flag
	}
	t.plan.Process.Scheduler = out
	return nil
}

// checkScheduler refuses what sched_setattr(2) would answer with a bare EINVAL.
func checkScheduler(s *specs.Scheduler) error {
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	deadline := s.Policy == specs.SchedDeadline
	switch {
	case s.Nice < -20 || s.Nice > 19:
		return invalid("process.scheduler: nice %d is not between -20 and 19", s.Nice)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return invalid("process.scheduler: priority %d is not between 1 and 99", s.Priority)
	case !realtime && s.Priority != 0:
		return invalid("process.scheduler: a priority is for SCHED_FIFO and SCHED_RR, not %s", s.Policy)
	case !deadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		return invalid("process.scheduler: runtime, deadline and period are for SCHED_DEADLINE, not %s", s.Policy)
	case deadline && (s.Runtime == 0 || s.Runtime > s.Deadline || (s.Period != 0 && s.Deadline > s.Period)):
		return invalid("process.scheduler: SCHED_DEADLINE needs 0 < runtime <= deadline <= period")
	}
	return nil
}

// ioClasses of ioprio_set(2).
var ioClasses = map[specs.IOPriorityClass]int{
	specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3,
}

func (t *translation) ioPriority(p *specs.Process) error {
	if p.IOPriority == nil {
		return nil
	}
	class, ok := ioClasses[p.IOPriority.Class]
	if !ok {
		return invalid("process.ioPriority: unknown class %q", p.IOPriority.Class)
	}
	if p.IOPriority.Priority < 0 || p.IOPriority.Priority > 7 {
		return invalid("process.ioPriority: priority %d is not between 0 and 7", p.IOPriority.Priority)
	}
	const classShift = 13 // IOPRIO_CLASS_SHIFT
	t.plan.Process.IOPriority = class<<classShift | p.IOPriority.Priority
	return nil
}
