// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/kernel"
)

// recorder is the eBPF program's map and link. A nil recorder knows nothing and does
// nothing.
type recorder struct {
	tracked *ebpf.Map // recorderIdentity to recorderRecord
	link    link.Link
	pins    pins
	decoded bool // the kernel's types were, to load the program
}

func (id Identity) key() *recorderIdentity {
	return &recorderIdentity{Tgid: uint32(id.Pid), StartTicks: id.StartTicks}
}

// track makes the program record the end of id. It leaves a record that is there alone.
func (r *recorder) track(id Identity) error {
	if r == nil {
		return nil
	}
	err := r.tracked.Update(id.key(), &recorderRecord{}, ebpf.UpdateNoExist)
	switch {
	case err == nil, errors.Is(err, ebpf.ErrKeyExist):
		return nil
	case errors.Is(err, unix.E2BIG):
		return fmt.Errorf("eBPF exit records: all %d are in use: %w", r.tracked.MaxEntries(), errdefs.ErrResourceExhausted)
	}
	return fmt.Errorf("register with the eBPF exit recorder: %w", err)
}

// status returns what was recorded of id; false if it was not tracked or has not ended.
func (r *recorder) status(id Identity) (Status, bool) {
	if r == nil {
		return Status{}, false
	}
	var record recorderRecord
	if err := r.tracked.Lookup(id.key(), &record); err != nil {
		return Status{}, false
	}
	word, done := record.word()
	if !done {
		return Status{}, false
	}
	return newStatus(kernel.WaitStatus(word), bootTime(record.BootNs), SourceBPF), true
}

// word is the status word of wait(2). What the leader wrote counts more, see exits.c.
func (r *recorderRecord) word() (word uint32, done bool) {
	if r.LeaderDone != 0 {
		return r.LeaderStatus, true
	}
	return r.OtherStatus, r.OtherDone != 0
}

// note enters a status the program has missed. Nothing if id is not tracked.
func (r *recorder) note(id Identity, exit kernel.ExitStatus) {
	if r == nil {
		return
	}
	record := recorderRecord{BootNs: bootNow(), LeaderDone: 1, LeaderStatus: exit.Word()}
	_ = r.tracked.Update(id.key(), &record, ebpf.UpdateExist)
}

func (r *recorder) forget(id Identity) {
	if r != nil {
		_ = r.tracked.Delete(id.key()) // not tracked is as good
	}
}

// prune forgets all but what keep wants.
func (r *recorder) prune(keep func(Identity) bool) {
	if r == nil {
		return
	}
	var key recorderIdentity
	var record recorderRecord
	var drop []Identity // not deleted while iterating, which would begin anew
	for entries := r.tracked.Iterate(); entries.Next(&key, &record); {
		if id := (Identity{Pid: int(key.Tgid), StartTicks: key.StartTicks}); !keep(id) {
			drop = append(drop, id)
		}
	}
	for _, id := range drop {
		r.forget(id)
	}
}

// close gives up the descriptors. The pins keep program and map alive, unless there is
// nothing to record: then the program would only cost the node a look-up per exit.
func (r *recorder) close() error {
	if r == nil {
		return nil
	}
	var err error
	if r.empty() {
		err = r.pins.remove()
	}
	return errors.Join(err, r.link.Close(), r.tracked.Close())
}

func (r *recorder) empty() bool {
	var first recorderIdentity
	return errors.Is(r.tracked.NextKey(nil, &first), ebpf.ErrKeyNotExist)
}

// bootTime converts a reading of CLOCK_BOOTTIME. A wall clock set in between does not
// matter: the distance to now is what counts.
func bootTime(ns uint64) time.Time {
	ago := time.Duration(bootNow() - ns) // read first: time that passes between the two clocks must not put the end before its cause
	return time.Now().Add(-ago)
}

func bootNow() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0 // cannot fail: the clock exists since 2.6.39
	}
	return uint64(now.Nano())
}
