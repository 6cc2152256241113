// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"
	"time"
)

// style of a line.
type style int

const (
	plain style = iota
	bold
	inverse
)

// line of the screen.
type line struct {
	text  string
	style style
}

// view is what the terminal shows, as far as it does not depend on the terminal.
type view struct {
	options Options // order and what is shown change with keys
	report  *Report
	trouble error // why the report is old; nil when it is not
	since   time.Time
	offset  int // rows of the table above the window
	page    int // rows of the table in the window, of the last frame
}

// update takes the outcome of a sample taken at now.
func (v *view) update(r *Report, err error, now time.Time) {
	if err != nil {
		if v.trouble == nil {
			v.since = now
		}
		v.trouble = err
		return
	}
	v.report, v.trouble = r, nil
}

// press changes the view as a key says.
func (v *view) press(k key) {
	switch k {
	case keyUp, 'k':
		v.offset--
	case keyDown, 'j':
		v.offset++
	case keyPageUp, 'b':
		v.offset -= max(v.page, 1)
	case keyPageDown, ' ':
		v.offset += max(v.page, 1)
	case keyHome, 'g':
		v.offset = 0
	case keyEnd, 'G':
		v.offset = len(v.rows())
	case 'i':
		v.options.Reverse = !v.options.Reverse
	case 't':
		v.options.Containers = !v.options.Containers
	default:
		v.sort(k)
	}
}

// sort by the order whose name begins with k.
func (v *view) sort(k key) {
	for _, o := range orders() {
		if key(o[0]) == k {
			v.options.Sort, v.options.Reverse, v.offset = o, false, 0
		}
	}
}

func (v *view) rows() [][]string {
	return rows(sorted(v.report.Pods, v.options.Sort, v.options.Reverse), v.options.Containers)
}

// frame renders at most height lines of at most width columns.
func (v *view) frame(width, height int) []line {
	list := v.rows()
	lines := v.above(height)
	// The titles, and the line of keys.
	v.page = max(height-len(lines)-2, 0)
	v.offset = max(min(v.offset, len(list)-v.page), 0)
	end := min(v.offset+v.page, len(list))
	for i, text := range table(list, width) {
		switch {
		case i == 0:
			lines = append(lines, line{pad(text, width, false), inverse})
		case i > v.offset && i <= end:
			lines = append(lines, line{text, plain})
		}
	}
	for len(lines) < height-1 {
		lines = append(lines, line{})
	}
	lines = append(lines, line{v.footer(v.offset, end, len(list)), bold})
	lines = lines[:min(len(lines), height)]
	for i := range lines {
		lines[i].text = clip(lines[i].text, width)
	}
	return lines
}

// minHeight is that of a window from which on the totals are shown.
const minHeight = 9

// above has the lines above the table.
func (v *view) above(height int) (lines []line) {
	if height >= minHeight {
		for _, text := range header(v.report) {
			lines = append(lines, line{text, plain})
		}
	}
	if v.trouble != nil {
		lines = append(lines, line{fmt.Sprintf("since %s: %s", v.since.Local().Format("15:04:05"), printable(v.trouble.Error())), bold})
	} else if height >= minHeight {
		lines = append(lines, line{})
	}
	return lines
}

func (v *view) footer(from, to, total int) string {
	place := "no pods"
	if total > 0 {
		place = fmt.Sprintf("%d-%d of %d", min(from+1, to), to, total)
	}
	order := string(v.options.Sort)
	if v.options.Reverse {
		order += ", inverted"
	}
	return strings.Join([]string{place, "by " + order, "q quit", "t containers", "i invert", "sort c m r n a"}, "  ")
}
