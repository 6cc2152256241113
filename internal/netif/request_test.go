// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"errors"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestWhole: a list is asked for again while the kernel says that it has changed meanwhile, and in the end taken as it is.
func TestWhole(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		interrupted int // times
		then        error
		want        []int
		err         error
	}{
		"at once":          {0, nil, []int{1}, nil},
		"the third time":   {2, nil, []int{3}, nil},
		"never":            {attempts, nil, []int{attempts}, nil},
		"broken afterward": {1, broken, nil, broken},
	} {
		n := 0
		got, err := whole(func() ([]int, error) {
			if n++; n <= c.interrupted {
				return []int{n}, netlink.ErrDumpInterrupted
			}
			if c.then != nil {
				return nil, c.then
			}
			return []int{n}, nil
		})
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", name, got, err, c.want, c.err)
		}
	}
}
