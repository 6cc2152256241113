// SPDX-License-Identifier: Apache-2.0

package top

import (
	"strings"
	"unicode/utf8"
)

// key is a printable character, or one of those below.
type key rune

const (
	keyNone key = -iota
	keyUp
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
	keyQuit    // Ctrl-C
	keySuspend // Ctrl-Z
	keyRedraw  // Ctrl-L
)

// sequences are what terminals send after ESC for the keys without a character (ECMA-48,
// xterm, the Linux console).
func sequences() map[string]key {
	return map[string]key{
		"[A": keyUp, "OA": keyUp, "[B": keyDown, "OB": keyDown,
		"[5~": keyPageUp, "[6~": keyPageDown,
		"[H": keyHome, "OH": keyHome, "[1~": keyHome, "[7~": keyHome,
		"[F": keyEnd, "OF": keyEnd, "[4~": keyEnd, "[8~": keyEnd,
	}
}

func control(b byte) key {
	switch b {
	case 'C' - '@':
		return keyQuit
	case 'Z' - '@':
		return keySuspend
	case 'L' - '@':
		return keyRedraw
	}
	return keyNone
}

const escape = 0x1b

// nextKey takes the first key off what a terminal has sent: keyNone is one that means nothing
// here. n is 0 when the rest of the key is still to come.
func nextKey(text []byte) (k key, n int) {
	switch {
	case len(text) == 0:
		return keyNone, 0
	case text[0] == escape:
		return escaped(text)
	case text[0] < ' ':
		return control(text[0]), 1
	case !utf8.FullRune(text):
		return keyNone, 0
	}
	r, n := utf8.DecodeRune(text)
	if r == utf8.RuneError {
		return keyNone, n
	}
	return key(r), n
}

// maxSequence bounds what is waited for: ESC and then nothing that ends is no key.
const maxSequence = 16

// escaped is nextKey for what begins with ESC.
func escaped(text []byte) (key, int) {
	if len(text) == 1 {
		return keyNone, 0
	}
	if !strings.ContainsRune("[O", rune(text[1])) {
		return keyNone, 1 // the key of that name, and then another
	}
	for i := 2; i < min(len(text), maxSequence); i++ {
		if text[i] >= '@' && text[i] <= '~' {
			return sequences()[string(text[1:i+1])], i + 1
		}
	}
	if len(text) < maxSequence {
		return keyNone, 0
	}
	return keyNone, 1
}
