// SPDX-License-Identifier: Apache-2.0

package top

import (
	"slices"
	"testing"
)

func decode(text []byte) (keys []key, rest []byte) {
	for {
		k, n := nextKey(text)
		if n == 0 {
			return keys, text
		}
		text = text[n:]
		if k != keyNone {
			keys = append(keys, k)
		}
	}
}

func TestKeys(t *testing.T) {
	for text, want := range map[string][]key{
		"q":                   {'q'},
		"jk":                  {'j', 'k'},
		"\x03\x1a\x0c":        {keyQuit, keySuspend, keyRedraw},
		"\x1b[A\x1bOB":        {keyUp, keyDown},
		"\x1b[5~\x1b[6~":      {keyPageUp, keyPageDown},
		"\x1b[H\x1bOF":        {keyHome, keyEnd},
		"\x1b[1~\x1b[4~":      {keyHome, keyEnd},
		"\x1b[1;5Aq":          {'q'}, // Ctrl and an arrow
		"\x1bq":               {'q'}, // Escape, then q; or Alt-q
		"ä":                   {'ä'},
		"\xffq":               {'q'},
		"\x1b[<0;1;1Mq":       {'q'}, // a mouse
		"\x01\x02\t\rq":       {'q'},
		"\x1b[999":            nil, // there may be more
		"\x1b[99999999999999": slices.Concat([]key{'['}, slices.Repeat([]key{'9'}, 14)),
	} {
		if got, _ := decode([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// A key may come in parts.
func TestKeysInParts(t *testing.T) {
	for _, text := range []string{"\x1b[5~", "\x1bOA", "ä"} {
		for i := 1; i < len(text); i++ {
			got, rest := decode([]byte(text[:i]))
			if len(got) != 0 || string(rest) != text[:i] {
				t.Errorf("%q gives %v and leaves %q", text[:i], got, rest)
			}
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("\x1b[5~q\x1b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, rest := decode(text)
		if len(rest) > maxSequence {
			t.Errorf("%q leaves %d bytes", text, len(rest))
		}
	})
}
