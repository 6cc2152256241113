// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"strings"
	"sync"

	"github.com/opencontainers/selinux/go-selinux"
)

// labels counts who uses SELinux's categories: the containers of a pod have those of the pod, and no other pod may
// get them before the last one is gone. Labels are those of processes, "" is none.
type labels struct {
	mu   sync.Mutex
	uses map[string]int // by level
}

// hold notes one use more of a label that was reserved, or is to be after a restart.
func (l *labels) hold(label string) {
	if label == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses == nil {
		l.uses = map[string]int{}
	}
	l.uses[level(label)]++
	_ = selinux.ReserveLabelV2(label) // an error says that it is reserved
}

// drop notes one use less.
func (l *labels) drop(label string) {
	if label == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := level(label)
	if l.uses[key]--; l.uses[key] <= 0 {
		delete(l.uses, key)
		selinux.ReleaseLabel(label)
	}
}

// level is the part of a label that the library reserves: USER:ROLE:TYPE:LEVEL.
func level(label string) string {
	const fields = 4
	parts := strings.SplitN(label, ":", fields)
	if len(parts) < fields {
		return ""
	}
	return parts[fields-1]
}
