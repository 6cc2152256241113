// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// undoTime bounds what is done to clean up after a failure or a caller that went away.
const undoTime = 10 * time.Second

// cleanup is a context for undoing, whatever became of the caller's.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), undoTime)
}

// index finds things by id, and keeps their names unique. It is guarded by its owner.
type index[T any] struct {
	what  string
	all   map[string]T
	names map[string]string // name to id
}

func newIndex[T any](what string) index[T] {
	return index[T]{what: what, all: map[string]T{}, names: map[string]string{}}
}

// find by id or by a prefix that only one id has.
func (x *index[T]) find(id string) (T, error) {
	if v, ok := x.all[id]; ok {
		return v, nil
	}
	var zero, found T
	if id == "" {
		return zero, invalid("the id of the %s is empty", x.what)
	}
	count := 0
	for k, v := range x.all {
		if strings.HasPrefix(k, id) {
			found = v
			count++
		}
	}
	switch count {
	case 0:
		return zero, notFound("%s %q", x.what, shorten(id))
	case 1:
		return found, nil
	}
	return zero, invalid("%s %q: %d ids start like this", x.what, shorten(id), count)
}

// reserve keeps name for id.
func (x *index[T]) reserve(name, id string) error {
	if owner, taken := x.names[name]; taken {
		return fmt.Errorf("%s: the name %q is reserved for %s: %w", x.what, shorten(name), owner, errdefs.ErrAlreadyExists)
	}
	x.names[name] = id
	return nil
}

func (x *index[T]) remove(id, name string) {
	delete(x.all, id)
	if x.names[name] == id {
		delete(x.names, name)
	}
}

func (x *index[T]) list() []T {
	list := make([]T, 0, len(x.all))
	for _, v := range x.all {
		list = append(list, v)
	}
	return list
}

// idLength is the length of an id, hexadecimal digits as every runtime's.
const idLength = 64

// newID returns a random id.
func newID() string {
	var b [idLength / 2]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return hex.EncodeToString(b[:])
}

// shorten keeps what a client sent from flooding messages.
func shorten(s string) string {
	if len(s) > 256 {
		return s[:256] + "..."
	}
	return s
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errdefs.ErrInvalidArgument)
}

func notFound(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errdefs.ErrNotFound)
}

func unready(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errdefs.ErrFailedPrecondition)
}
