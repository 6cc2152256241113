// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"errors"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// WakeUps returns how often threads of this process give up their processor to wait in a window of time, at best: the Go
// runtime and its collector do that too, at times. It looks that often, or until it has seen no more than enough.
func WakeUps(t testing.TB, window time.Duration, looks int, enough int64) int64 {
	t.Helper()
	fewest := int64(math.MaxInt64)
	for n := 0; n < looks && fewest > enough; n++ {
		var before, after unix.Rusage
		err := unix.Getrusage(unix.RUSAGE_SELF, &before)
		time.Sleep(window)
		if err := errors.Join(err, unix.Getrusage(unix.RUSAGE_SELF, &after)); err != nil {
			t.Fatal(err)
		}
		fewest = min(fewest, after.Nvcsw-before.Nvcsw)
	}
	return fewest
}
