// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"sync"
	"time"
)

// lives counts the daemons, and tells whether one may be relied on.
type lives struct {
	mu     sync.Mutex
	number int
	up     bool
	ends   map[int]time.Time
}

// begin says that the daemon serves.
func (l *lives) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	l.up = true
}

// end says that the daemon is about to die.
func (l *lives) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = false
	if l.ends == nil {
		l.ends = map[int]time.Time{}
	}
	l.ends[l.number] = time.Now()
}

// now returns the number of the daemon that lives, 0 if none can be relied on.
func (l *lives) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up {
		return 0
	}
	return l.number
}

// outlived tells whether a daemon lived for long enough after a time to say what it had to say then.
func (l *lives) outlived(number int, after time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, over := l.ends[number]
	return !over || end.Sub(after) > time.Second
}
