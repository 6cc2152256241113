// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainProgressIsALinePerQuarter(t *testing.T) {
	var b strings.Builder
	d := &Display{w: &b}
	for i := range 10 {
		d.Progress("starting", i+1, 10)
	}
	d.Line("started %d", 10)
	want := "starting 3 of 10\nstarting 5 of 10\nstarting 8 of 10\nstarting 10 of 10\nstarted 10\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestTerminalProgressRedrawsOneLine(t *testing.T) {
	var b strings.Builder
	d := &Display{w: &b, width: 40}
	d.Progress("starting", 0, 4)
	d.Progress("starting", 2, 4)
	d.Progress("starting", 2, 4) // the same again is not drawn
	d.Progress("starting", 4, 4)
	d.Line("done")
	want := "\rstarting [........................] 0/4" +
		"\rstarting [############............] 2/4" +
		"\rstarting [########################] 4/4" +
		"\r\x1b[Kdone\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestCloseTakesTheBarAway(t *testing.T) {
	var b strings.Builder
	d := &Display{w: &b, width: 40}
	d.Progress("starting", 1, 4)
	d.Close()
	d.Close()
	if !strings.HasSuffix(b.String(), "1/4\r\x1b[K") {
		t.Errorf("got %q", b.String())
	}
}

func TestBarFits(t *testing.T) {
	for width := 40; width < 200; width += 7 {
		for done := range 101 {
			line := bar("starting containers", done, 100, width)
			if got := utf8.RuneCountInString(line); got >= width {
				t.Fatalf("%d columns on a terminal of %d: %q", got, width, line)
			}
		}
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if d := NewDisplay(file); d.width != 0 {
		t.Errorf("width %d", d.width)
	}
}
