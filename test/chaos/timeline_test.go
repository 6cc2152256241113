// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// timeline is what happened, in the test's eyes.
type timeline struct {
	mu      sync.Mutex
	entries []entry
	states  map[string]string // the last one of each
}

type entry struct {
	at        time.Time
	who, what string
}

// daemon is who the entries of its deaths and starts are of; everybody is concerned.
const daemon = "daemon"

// note adds an entry. who is a path: pod-3/container-1.
func (l *timeline) note(who, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{time.Now(), who, fmt.Sprintf(format, args...)})
}

// state adds an entry that says how who is, once while that does not change.
func (l *timeline) state(who, format string, args ...any) {
	l.mu.Lock()
	if l.states == nil {
		l.states = map[string]string{}
	}
	state := fmt.Sprintf(format, args...)
	same := l.states[who] == state
	l.states[who] = state
	l.mu.Unlock()
	if !same {
		l.note(who, "%s", state)
	}
}

// of returns the entries of who, of what who belongs to, and of the daemon while who was there; all of
// them for "".
func (l *timeline) of(who string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, last := len(l.entries), 0
	for i, e := range l.entries {
		if e.who != daemon && concerns(e.who, who) {
			first, last = min(first, i), i
		}
	}
	var text strings.Builder
	for i, e := range l.entries {
		if who == "" || concerns(e.who, who) || e.who == daemon && i >= first && i <= last {
			fmt.Fprintf(&text, "%s  %-24s %s\n", e.at.UTC().Format("15:04:05.000000"), e.who, e.what)
		}
	}
	return text.String()
}

func concerns(entry, who string) bool {
	return entry == who || strings.HasPrefix(entry, who+"/") || strings.HasPrefix(who, entry+"/")
}
