// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"strconv"
	"strings"
)

// statuses are ranges of HTTP status codes.
type statuses [][2]int

const maxStatuses = 16

// parseStatuses reads a list of codes and ranges, as in 200-399,404.
func parseStatuses(text string) (statuses, error) {
	var s statuses
	parts := strings.Split(text, ",")
	if len(parts) > maxStatuses {
		return nil, fmt.Errorf("--status: at most %d ranges are taken", maxStatuses)
	}
	for _, part := range parts {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, to := statusCode(low), statusCode(high)
		if from == 0 || to == 0 || from > to {
			return nil, fmt.Errorf("--status %q: want codes from 100 to 599, as in 200-399,404", shorten(text))
		}
		s = append(s, [2]int{from, to})
	}
	return s, nil
}

// statusCode is 0 for what is none.
func statusCode(text string) int {
	code, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || code < 100 || code > 599 {
		return 0
	}
	return code
}

func (s statuses) have(code int) bool {
	for _, r := range s {
		if r[0] <= code && code <= r[1] {
			return true
		}
	}
	return false
}

func (s statuses) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = strconv.Itoa(r[0])
		if r[0] != r[1] {
			parts[i] += "-" + strconv.Itoa(r[1])
		}
	}
	return strings.Join(parts, ",")
}
