// SPDX-License-Identifier: Apache-2.0

package top

import (
	"bytes"
	"fmt"
	"slices"
)

// Control sequences (ECMA-48, xterm). What a terminal does not know it ignores.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // alternate screen, no cursor, no wrapping
	leaveScreen = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h" // until endFrame nothing is shown
	endFrame    = "\x1b[?2026l"
	eraseLine   = "\x1b[K"
	eraseScreen = "\x1b[2J"
)

// screen knows what the terminal shows, and writes only what differs.
type screen struct {
	shown []line // nil when nobody knows
}

// draw returns what makes the terminal show lines, nothing if it does.
func (s *screen) draw(lines []line) []byte {
	var out bytes.Buffer
	if s.shown == nil {
		out.WriteString(eraseScreen)
	}
	for i := range max(len(lines), len(s.shown)) {
		var want line
		if i < len(lines) {
			want = lines[i]
		}
		if i < len(s.shown) && s.shown[i] == want {
			continue
		}
		// Erased first: after the last column it would take away the last character.
		fmt.Fprintf(&out, "\x1b[%d;1H%s%s%s\x1b[0m", i+1, eraseLine, want.style.sequence(), want.text)
	}
	s.shown = slices.Clone(lines)
	if out.Len() == 0 {
		return nil
	}
	return slices.Concat([]byte(beginFrame), out.Bytes(), []byte(endFrame))
}

// forget what the terminal shows: it was resized, or somebody else has written to it.
func (s *screen) forget() { s.shown = nil }

func (s style) sequence() string {
	switch s {
	case bold:
		return "\x1b[1m"
	case inverse:
		return "\x1b[7m"
	}
	return ""
}
