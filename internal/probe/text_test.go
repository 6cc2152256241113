// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, ä": "plain text, ä",
		"a\nb\r\x00\t":  `a\nb\r\x00\t`,
		"\x1b[31mred":   `\x1b[31mred`,
		"bro\xffken":    `bro\xffken`,
		"a\u202eb":      `a\u202eb`, // turns the direction of text
		"":              "",
	} {
		if got := shorten(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{strings.Repeat("ä", 1000), strings.Repeat("\x01", 1<<20)} {
		got := shorten(in)
		if len(got) > maxPart+3 || !strings.HasSuffix(got, "...") || !utf8.ValidString(got) {
			t.Errorf("%d bytes are made %d: %q", len(in), len(got), got)
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("a\nb\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := shorten(s)
		if len(got) > maxPart+3 || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || !utf8.ValidString(got) {
			t.Errorf("%q is %q", s, got)
		}
	})
}
