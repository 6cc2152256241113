// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal r takes.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x1100: // the first wide one
		return 1
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// textWidth is how many columns s takes.
func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

// printable replaces what a terminal could take for an order. Names come from clients.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || unicode.In(r, unicode.Mn, unicode.Me) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// clip cuts s to n columns, with an ellipsis in place of what is cut off.
func clip(s string, n int) string {
	if textWidth(s) <= n {
		return s
	}
	if n <= 0 {
		return ""
	}
	used := 1 // the ellipsis
	for i, r := range s {
		used += columns(r)
		if used > n {
			return s[:i] + "…"
		}
	}
	return s
}

// pad fills s up to n columns, on the left side if right is set.
func pad(s string, n int, right bool) string {
	spaces := strings.Repeat(" ", max(n-textWidth(s), 0))
	if right {
		return spaces + s
	}
	return s + spaces
}

// unknown stands for what is not known.
const unknown = "-"

func percentText(p *float64) string {
	if p == nil {
		return unknown
	}
	return fmt.Sprintf("%.1f", *p)
}

func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, prefix := float64(n)/unit, 0
	// Not 1024.0: what rounds up to the next unit belongs to it.
	for ; v >= unit-0.05 && prefix < len("KMGTPE")-1; prefix++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[prefix])
}

// ageText has the two largest units of an age.
func ageText(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
