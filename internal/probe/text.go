// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is told, in bytes.
const (
	maxText = 4096 // of an answer
	maxPart = 256  // of what others have chosen: a path, a message of a server
)

// shorten makes what others have chosen fit for a line of text: without control characters, and not long.
func shorten(s string) string { return cut(visible(s), maxPart) }

// visible has what is not to be seen written as in Go: control characters, broken UTF-8, and what changes the direction of text.
func visible(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() <= maxText; {
		r, size := utf8.DecodeRuneInString(s[i:])
		if hidden(r) {
			quoted := strconv.QuoteToASCII(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// hidden takes the replacement character for broken UTF-8, which it mostly stands for.
func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// cut keeps at most size bytes and a mark that there were more.
func cut(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size] + "..."
}
