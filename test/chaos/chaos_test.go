// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestChaos is one round or several, each with a seed of its own.
func TestChaos(t *testing.T) {
	s := readSettings(t)
	var failed []string
	begin := time.Now()
	for i := range s.rounds {
		seed := s.seed + uint64(i)
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { newRun(t, s, seed).round() }) {
			failed = append(failed, fmt.Sprint(seed))
		}
		if s.rounds > 1 {
			fmt.Printf("chaos: %d of %d rounds, %d failed, %v\n", i+1, s.rounds, len(failed), time.Since(begin).Round(time.Second))
		}
	}
	if len(failed) > 0 {
		t.Errorf("%d of %d rounds failed, with the seeds %s", len(failed), s.rounds, strings.Join(failed, " "))
	}
}
