// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// minInterval keeps the view from becoming the load that it shows.
const minInterval = 100 * time.Millisecond

// Options say what to look at and how to show it.
type Options struct {
	Address    string // CRI socket
	Metrics    string // URL of the daemon's metrics; empty: do without
	Interval   time.Duration
	Namespace  string // of the pods shown; empty: all
	Sort       Order
	Reverse    bool
	Containers bool // below their pods
}

// Validate reports the first option that makes no sense.
func (o Options) Validate() error {
	switch {
	case o.socket() == "":
		return fmt.Errorf("the address is empty: %w", errdefs.ErrInvalidArgument)
	case o.Interval < minInterval:
		return fmt.Errorf("interval is %v, at least %v is needed: %w", o.Interval, minInterval, errdefs.ErrInvalidArgument)
	case !o.Sort.known():
		return fmt.Errorf("sort is %q, one of %s is wanted: %w", o.Sort, OrderNames(), errdefs.ErrInvalidArgument)
	}
	return nil
}

// socket is the path of the CRI socket.
func (o Options) socket() string { return strings.TrimPrefix(o.Address, "unix://") }
