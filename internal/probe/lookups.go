// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxLookups is how many looks at files go on at the same time on the node.
	maxLookups = 256
	// hungAfter is the age from which a look that nobody waits for any more is taken for one that hangs.
	hungAfter = time.Second
)

// lookups bounds what file systems that do not answer can cost: a container, or its network file server, may have made one so.
// Such a system call cannot be interrupted: it keeps its thread. So there is one look at a time per target, and a
// bounded number in all; behind one that hangs nobody waits.
type lookups struct {
	mu    sync.Mutex
	busy  map[string]*lookup // by target
	freed chan struct{}      // closed when one ends while others wait for a place; nil without
	hung  int                // of busy, those that nobody waits for
}

// lookup is one under way.
type lookup struct {
	name    string
	begun   time.Time
	left    bool          // nobody waits for it any more
	done    chan struct{} // closed at its end
	stat    unix.Stat_t
	failure error
}

// do runs look, a look at name of target, and returns when it has, or with ctx's error.
func (l *lookups) do(ctx context.Context, target, name string, look func() (unix.Stat_t, error)) (unix.Stat_t, error) {
	mine, err := l.begin(ctx, target, name)
	if err != nil {
		return unix.Stat_t{}, err
	}
	go func() {
		mine.stat, mine.failure = look()
		l.end(target, mine)
	}()
	select {
	case <-mine.done:
		return mine.stat, mine.failure
	case <-ctx.Done():
		l.leave(mine)
		return unix.Stat_t{}, context.Cause(ctx)
	}
}

// begin takes a place, and waits for it unless those before it hang.
func (l *lookups) begin(ctx context.Context, target, name string) (*lookup, error) {
	for {
		wait, err := l.try(target, name)
		if err != nil || wait.entered != nil {
			return wait.entered, err
		}
		select {
		case <-wait.before:
		case <-wait.again:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// turn is one that was taken, or what to wait for.
type turn struct {
	entered *lookup
	before  <-chan struct{}
	again   <-chan time.Time // to ask again, though nothing has ended; nil for never
}

func (l *lookups) try(target, name string) (turn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other := l.busy[target]; other != nil {
		age := time.Since(other.begun)
		if other.left && age > hungAfter {
			return turn{}, fmt.Errorf("not looked at: a look at %s has not returned for %s: its file system hangs", shorten(other.name), span(age))
		}
		// Who comes before it hangs is told when it does, or, if somebody still waits for it, a while after that.
		return turn{before: other.done, again: time.After(max(hungAfter-age, hungAfter/10))}, nil
	}
	if len(l.busy) >= maxLookups {
		if l.hung >= maxLookups {
			return turn{}, fmt.Errorf("not looked at: %d file systems of this node hang", l.hung)
		}
		if l.freed == nil {
			l.freed = make(chan struct{})
		}
		return turn{before: l.freed}, nil
	}
	if l.busy == nil {
		l.busy = map[string]*lookup{}
	}
	mine := &lookup{name: name, begun: time.Now(), done: make(chan struct{})}
	l.busy[target] = mine
	return turn{entered: mine}, nil
}

func (l *lookups) end(target string, mine *lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, target)
	if mine.left {
		l.hung--
	}
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
	close(mine.done)
}

// leave says that nobody waits for the end of mine.
func (l *lookups) leave(mine *lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-mine.done: // it has just come
	default:
		mine.left = true
		l.hung++
	}
}
