// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"sync"
)

// keylock locks by name, so that several pulls unpack a layer once. It is what
// containerd's client takes as a duplication suppressor; containerd's own cannot be imported.
type keylock struct {
	mu    sync.Mutex
	locks map[string]*lock
}

type lock struct {
	held  chan struct{} // has room for the holder
	users int           // holder and waiters
}

func newKeylock() *keylock { return &keylock{locks: map[string]*lock{}} }

func (k *keylock) Lock(ctx context.Context, key string) error {
	k.mu.Lock()
	l := k.locks[key]
	if l == nil {
		l = &lock{held: make(chan struct{}, 1)}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	select {
	case l.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		k.mu.Lock()
		defer k.mu.Unlock()
		k.leave(key, l)
		return ctx.Err()
	}
}

func (k *keylock) Unlock(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.locks[key]
	<-l.held
	k.leave(key, l)
}

func (k *keylock) leave(key string, l *lock) {
	if l.users--; l.users == 0 {
		delete(k.locks, key)
	}
}
