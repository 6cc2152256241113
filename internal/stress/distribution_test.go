// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"testing"
	"time"
)

// upTo returns n, n-1, ... 1 milliseconds: unsorted on purpose.
func upTo(n int) []time.Duration {
	samples := make([]time.Duration, n)
	for i := range samples {
		samples[i] = time.Duration(n-i) * time.Millisecond
	}
	return samples
}

func TestDistribution(t *testing.T) {
	for _, c := range []struct {
		n    int
		want Distribution
	}{
		{0, Distribution{}},
		{1, Distribution{Count: 1, Rate: 0.5, Mean: 1, Min: 1, P50: 1, P90: 1, P99: 1, Max: 1}},
		{2, Distribution{Count: 2, Rate: 1, Mean: 1.5, Min: 1, P50: 1, P90: 2, P99: 2, Max: 2}},
		{10, Distribution{Count: 10, Rate: 5, Mean: 5.5, Min: 1, P50: 5, P90: 9, P99: 10, Max: 10}},
		{100, Distribution{Count: 100, Rate: 50, Mean: 50.5, Min: 1, P50: 50, P90: 90, P99: 99, Max: 100}},
		{1000, Distribution{Count: 1000, Rate: 500, Mean: 500.5, Min: 1, P50: 500, P90: 900, P99: 990, Max: 1000}},
	} {
		if got := distribution(upTo(c.n), 2*time.Second); got != c.want {
			t.Errorf("of %d samples: %+v, want %+v", c.n, got, c.want)
		}
	}
}

func TestPercentileIsASample(t *testing.T) {
	sorted := []time.Duration{1, 5, 100}
	for p, want := range map[float64]time.Duration{0: 1, 1: 1, 33: 1, 34: 5, 66: 5, 67: 100, 100: 100} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %g is %d, want %d", p, got, want)
		}
	}
}

func TestStopwatchHasNoGaps(t *testing.T) {
	w := newStopwatch()
	var sum time.Duration
	for range 100 {
		sum += w.lap()
	}
	if sum != w.total() {
		t.Errorf("laps sum up to %s, total is %s", sum, w.total())
	}
}
