// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// slotCount is enough for eight launches of a usual container at the same time.
const slotCount = 256

// slots are low descriptor numbers, kept for what launched processes inherit. A child gets a copy of its
// parent's descriptor table and closes, at exec, all but what it inherits. On a node with a thousand pods these are
// thousands, and would make each start slower than the one before. With what it inherits among the slots, the
// thread that clones can drop everything above them first, from a table of its own.
type slots struct {
	end    int      // behind the last slot
	filler *os.File // in slots that are not in use

	mu   sync.Mutex
	free []int
}

// newSlots takes the lowest numbers that are free: call it early in the daemon's life.
func newSlots(filler *os.File) (*slots, error) {
	s := &slots{filler: filler}
	growTable(filler)
	for range slotCount {
		fd, err := unix.FcntlInt(filler.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("reserve descriptors: %w", err)
		}
		s.free = append(s.free, fd)
		s.end = max(s.end, fd+1)
	}
	return s, nil
}

// growTable makes room for the slots. A table of descriptors doubles when it is full, and each time waits until no processor looks at the
// old one any more, some milliseconds (synchronize_rcu in expand_fdtable of Linux); a high number has it grow once.
func growTable(filler *os.File) {
	if fd, err := unix.FcntlInt(filler.Fd(), unix.F_DUPFD_CLOEXEC, 2*slotCount-1); err == nil {
		unix.Close(fd)
	}
}

func (s *slots) close() {
	for _, fd := range s.free {
		unix.Close(fd)
	}
	s.free = nil
}

// lend puts duplicates of files into slots. It returns nil when there are not enough.
func (s *slots) lend(files []uintptr) ([]uintptr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := len(s.free) - len(files)
	if left < 0 {
		return nil, nil
	}
	lent := make([]uintptr, len(files))
	for i, fd := range s.free[left:] {
		if err := unix.Dup3(int(files[i]), fd, unix.O_CLOEXEC); err != nil {
			s.clear(s.free[left:])
			return nil, fmt.Errorf("dup3: %w", err)
		}
		lent[i] = uintptr(fd)
	}
	s.free = s.free[:left]
	return lent, nil
}

// giveBack ends the use of what lend has returned.
func (s *slots) giveBack(lent []uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := len(s.free)
	for _, fd := range lent {
		s.free = append(s.free, int(fd))
	}
	s.clear(s.free[first:])
}

// clear closes what is in slots without freeing their numbers: mounts held open would outlive their container.
func (s *slots) clear(fds []int) {
	for _, fd := range fds {
		_ = unix.Dup3(int(s.filler.Fd()), fd, unix.O_CLOEXEC) // fails for bad numbers only
	}
}

// keepOnly gives the calling thread, which ends soon, a descriptor table that ends with the slots. Only
// numbers below that may be used on it afterwards. Without the call (before Linux 5.9) all is as before, only slower.
func (s *slots) keepOnly() {
	_ = kernel.CloseOwnAbove(s.end)
}
