// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Page is how far a program has come.
type Page struct {
	// Began is 1 when the program runs.
	Began atomic.Uint64
	// Streams count the bytes of each stream.
	Streams [2]Written
	// Claim is 1 plus the exit status the program is about to end with, 0 as long as it goes on. The
	// status is that of a shell: 128 plus the signal.
	Claim atomic.Uint64
}

// Written counts bytes. The output holds at least Done and at most Begun.
type Written struct{ Begun, Done atomic.Uint64 }

const pageSize = 4096

// OpenPage opens the page in a file, which is made if it is not there. It stays open as long as
// the process lives.
func OpenPage(path string) (*Page, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(pageSize); err != nil {
		return nil, err
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return (*Page)(unsafe.Pointer(&memory[0])), nil
}

// Snapshot is a Page at one moment.
type Snapshot struct {
	Began       bool
	Begun, Done [2]int
	// Status is the exit status that the program has announced, if Ends.
	Ends   bool
	Status int
}

// ReadPage reads the page in a file. A program that has not begun has none, or an empty one.
func ReadPage(path string) (s Snapshot, err error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return s, nil
	}
	if err != nil || len(data) < pageSize {
		return s, err
	}
	p := (*Page)(unsafe.Pointer(&data[0]))
	s.Began = p.Began.Load() != 0
	for i := range p.Streams {
		s.Done[i], s.Begun[i] = int(p.Streams[i].Done.Load()), int(p.Streams[i].Begun.Load())
	}
	if claim := p.Claim.Load(); claim != 0 {
		s.Ends, s.Status = true, int(claim-1)
	}
	return s, nil
}
