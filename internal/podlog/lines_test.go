// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// model is what a log should hold, written for clarity: byte by byte, as containerd does.
func model(text []byte, limit int) []string {
	var out []string
	var line []byte
	for _, c := range text {
		switch {
		case c == '\n':
			out = append(out, "F "+string(line))
			line = nil
		case len(line) == limit: // only now is it known to be longer
			out = append(out, "P "+string(line))
			line = []byte{c}
		default:
			line = append(line, c)
		}
	}
	if len(line) > 0 {
		out = append(out, "P "+string(line))
	}
	return out
}

// cut feeds text to entries in pieces, whose sizes come from sizes, as a FIFO would.
func cut(t testing.TB, text, sizes []byte, limit, room int) []string {
	var h header
	h = h.set(time.Now(), "stdout")
	var log, pending []byte
	buffer := make([]byte, 0, room)
	feed := func(all bool) {
		for {
			out, used := h.entries(buffer, pending, limit, all)
			if size := h.textSize(out); size != used {
				t.Fatalf("textSize says %d, used %d", size, used)
			}
			if len(out) > room {
				t.Fatalf("%d bytes of %d", len(out), room)
			}
			log, pending = append(log, out...), pending[used:]
			if used == 0 {
				return
			}
		}
	}
	for i := 0; len(text) > 0; i++ {
		n := len(text)
		if len(sizes) > 0 {
			n = min(n, int(sizes[i%len(sizes)])+1)
		}
		pending, text = append(pending, text[:n]...), text[n:]
		feed(false)
		if len(pending) > limit {
			t.Fatalf("%d bytes are left of a line of at most %d", len(pending), limit)
		}
	}
	feed(true)
	var out []string
	for line := range bytes.Lines(log) {
		_, entry, found := strings.Cut(string(line), " stdout ")
		if !found {
			t.Fatalf("line %q", line)
		}
		out = append(out, strings.TrimSuffix(entry, "\n"))
	}
	return out
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("one\ntwo\n"), []byte{3}, uint16(16384), uint16(0))
	f.Add([]byte("\n\n\r\n"), []byte{0}, uint16(1), uint16(7))
	f.Add([]byte("no end"), []byte{1, 2}, uint16(3), uint16(1))
	f.Add([]byte("exact\nexact!\n"), []byte{}, uint16(5), uint16(100))
	f.Add(bytes.Repeat([]byte("long "), 1000), []byte{255}, uint16(100), uint16(0))
	f.Fuzz(func(t *testing.T, text, sizes []byte, limit, spare uint16) {
		max := int(limit) + 1
		got, want := cut(t, text, sizes, max, maxHeader+max+1+int(spare)), model(text, max)
		if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestHeaderFits(t *testing.T) {
	zone := time.FixedZone("far", 14*3600)
	for _, stream := range []string{"stdout", "stderr"} {
		h := header(nil).set(time.Date(2026, 1, 2, 3, 4, 5, 123456789, zone), stream)
		if want := fmt.Sprintf("2026-01-02T03:04:05.123456789+14:00 %s F ", stream); string(h) != want || len(h) > maxHeader {
			t.Errorf("got %q of %d, want %q", h, maxHeader, want)
		}
	}
}
