// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"math"
	"slices"
	"time"
)

// Distribution sums up the durations of one phase, in milliseconds.
type Distribution struct {
	Count int     `json:"count"`
	Rate  float64 `json:"perSecond"`
	Mean  float64 `json:"meanMs"`
	Min   float64 `json:"minMs"` // least disturbed by what else the machine does
	P50   float64 `json:"p50Ms"`
	P90   float64 `json:"p90Ms"`
	P99   float64 `json:"p99Ms"`
	Max   float64 `json:"maxMs"`
}

// distribution sorts samples, which were taken during elapsed.
func distribution(samples []time.Duration, elapsed time.Duration) Distribution {
	if len(samples) == 0 {
		return Distribution{}
	}
	slices.Sort(samples)
	var sum time.Duration
	for _, s := range samples {
		sum += s
	}
	return Distribution{
		Count: len(samples),
		Rate:  rate(len(samples), elapsed),
		Mean:  milliseconds(sum) / float64(len(samples)),
		Min:   milliseconds(samples[0]),
		P50:   milliseconds(percentile(samples, 50)),
		P90:   milliseconds(percentile(samples, 90)),
		P99:   milliseconds(percentile(samples, 99)),
		Max:   milliseconds(samples[len(samples)-1]),
	}
}

// percentile is the nearest-rank percentile of sorted samples: the smallest
// one that at least p per cent of them do not exceed. It is always a duration
// that was seen, never an interpolation.
func percentile(sorted []time.Duration, p float64) time.Duration {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

func rate(count int, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return math.Round(float64(count)/elapsed.Seconds()*1000) / 1000
}
