// SPDX-License-Identifier: Apache-2.0

package exits

import "sync"

// unwanted is what is to be dropped from a recorder that is still being opened: whoever asks for it need not wait.
type unwanted struct {
	mu    sync.Mutex
	keeps []func(Identity) bool
	open  bool
}

// later has keep applied when the recorder is opened. False: it is open.
func (u *unwanted) later(keep func(Identity) bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.open {
		u.keeps = append(u.keeps, keep)
	}
	return !u.open
}

// drop applies what was said so far. From here on the recorder is open.
func (u *unwanted) drop(r *recorder) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, keep := range u.keeps {
		r.prune(keep)
	}
	u.keeps, u.open = nil, true
}
