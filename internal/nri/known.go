// SPDX-License-Identifier: Apache-2.0

package nri

import "sync"

// known are the pods and containers that plugins were told of and not yet told that they are gone:
// whether they know that it has stopped. A container's end is reported by its exit and by the
// one who stops or removes it; plugins hear it once.
type known struct {
	mu      sync.Mutex
	stopped map[string]bool
}

func (k *known) add(id string, stopped bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped[id] = stopped
}

// stop reports whether plugins must be told now.
func (k *known) stop(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	stopped, known := k.stopped[id]
	if known {
		k.stopped[id] = true
	}
	return known && !stopped
}

// remove reports whether plugins must be told now.
func (k *known) remove(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.stopped[id]
	delete(k.stopped, id)
	return known
}

// forget everything: what happened while there was no plugin was not noted.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.stopped)
}
