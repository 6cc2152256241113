// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bytes"
	"time"
)

// The format of a log, from the kubelet's design of the CRI log: a line is
//
//	2016-10-06T00:17:09.669794202Z stdout F text
//
// where P in place of F says that the line goes on in the stream's next entry.
const (
	partial = 'P'
	full    = 'F'
)

// header is what every entry of a batch begins with, as far as the space after the tag.
type header []byte

// maxHeader is the longest header: a time with nanoseconds and zone, a stream, a tag.
const maxHeader = len("2006-01-02T15:04:05.999999999+07:00 stdout F ")

// set makes h the header of what was read at now from the stream.
func (h header) set(now time.Time, stream string) header {
	h = now.AppendFormat(h[:0], time.RFC3339Nano)
	h = append(h, ' ')
	h = append(h, stream...)
	return append(h, ' ', full, ' ')
}

// entries appends text to out as entries of the log and returns how much of text they hold.
// A line longer than limit is cut into partial entries of limit bytes and the rest. The
// start of a line whose end has not come stays, unless all is set: then it becomes a
// partial entry, which is how containerd ends a stream without newline. It stops early when
// the capacity of out is used up, which must have room for one entry.
func (h header) entries(out, text []byte, limit int, all bool) ([]byte, int) {
	used := 0
	for used < len(text) {
		rest := text[used:]
		entry := bytes.IndexByte(rest[:min(len(rest), limit+1)], '\n')
		tag, skip := byte(full), 1 // the newline
		switch {
		case entry >= 0:
		case len(rest) > limit:
			entry, tag, skip = limit, partial, 0
		case all:
			entry, tag, skip = len(rest), partial, 0
		default:
			return out, used
		}
		if len(out)+len(h)+entry+1 > cap(out) {
			break
		}
		out = append(out, h...)
		out[len(out)-2] = tag
		out = append(out, rest[:entry]...)
		out = append(out, '\n')
		used += entry + skip
	}
	return out, used
}

// textSize returns how many bytes of a stream the entries in out hold, which begin with h or
// its partial twin.
func (h header) textSize(out []byte) int {
	size := 0
	for line := range bytes.Lines(out) {
		size += len(line) - len(h)
		if line[len(h)-2] == partial {
			size-- // this newline was not the program's
		}
	}
	return size
}
