// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Display writes lines and the progress of counted work: a bar that redraws
// itself on a terminal, a line per quarter elsewhere. Safe for concurrent use.
type Display struct {
	w     io.Writer
	width int // columns of the terminal; 0: not a terminal

	mu    sync.Mutex // guards drawn and w
	drawn string     // what a bar last showed; empty: the cursor is at a line's start
}

// NewDisplay writes to a file, which may be a terminal.
func NewDisplay(f *os.File) *Display {
	d := &Display{w: f}
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
		d.width = max(int(size.Col), 40)
	}
	return d
}

// Line writes one line. A bar that was there is replaced by it.
func (d *Display) Line(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	fmt.Fprintf(d.w, format+"\n", args...)
}

// Progress shows that done of total things are finished.
func (d *Display) Progress(what string, done, total int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.width == 0 {
		if quarter(done, total) > quarter(done-1, total) {
			fmt.Fprintf(d.w, "%s %d of %d\n", what, done, total)
		}
		return
	}
	line := bar(what, done, total, d.width)
	if line != d.drawn {
		fmt.Fprint(d.w, "\r", line)
		d.drawn = line
	}
}

// Close takes an unfinished bar away, so that what comes next has a line of
// its own. The file stays open.
func (d *Display) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
}

// erase takes a bar off the screen (ECMA-48: erase in line).
func (d *Display) erase() {
	if d.drawn != "" {
		fmt.Fprint(d.w, "\r\x1b[K")
		d.drawn = ""
	}
}

func quarter(done, total int) int { return done * 4 / total }

// bar leaves the last column free: some terminals wrap when it is written.
func bar(what string, done, total, width int) string {
	digits := len(fmt.Sprint(total))
	count := fmt.Sprintf("%*d/%d", digits, done, total)
	room := max(width-1-len(what)-len(count)-len(" [] "), 1)
	full := room * done / total
	return fmt.Sprintf("%s [%s%s] %s", what, strings.Repeat("#", full), strings.Repeat(".", room-full), count)
}
