// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestBirthsKeepTheirOrder: they wait for the processors but one, in the order in which they came.
func TestBirthsKeepTheirOrder(t *testing.T) {
	for processors, width := range map[int]int{1: 1, 2: 1, 3: 2, 9: 8, 64: maxBirths} {
		synctest.Test(t, func(t *testing.T) {
			b := newBirths(processors)
			var ends []func()
			for range width {
				ends = append(ends, begin(t, b))
			}
			var order []int
			var waiting sync.WaitGroup
			for i := range 20 {
				waiting.Go(func() {
					end := begin(t, b)
					order = append(order, i)
					end()
				})
				synctest.Wait() // it waits behind those before
			}
			if len(order) > 0 {
				t.Errorf("%d processors: births %v beside %d", processors, order, width)
			}
			ends[0]()
			waiting.Wait()
			if !slices.IsSorted(order) {
				t.Errorf("order %v", order)
			}
			for _, end := range ends[1:] {
				end()
			}
		})
	}
}

// TestLongBirth: one that takes long keeps others waiting for a while only, and its place is no gain.
func TestLongBirth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBirths(2)
		long, began := begin(t, b), time.Now()
		end := begin(t, b)
		if waited := time.Since(began); waited != patience {
			t.Errorf("waited %v for a birth that does not end", waited)
		}
		long()
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		if _, err := b.begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("two at the same time: %v", err)
		}
		end()
		begin(t, b)()
	})
}

func TestBirthIsGivenUp(t *testing.T) {
	b := newBirths(1)
	end := begin(t, b)
	gone := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := b.begin(ctx); !errors.Is(err, gone) {
		t.Errorf("got %v, want the cause", err)
	}
	end()
	begin(t, b)()
}

func begin(t *testing.T, b *births) (end func()) {
	t.Helper()
	end, err := b.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return end
}
