// SPDX-License-Identifier: Apache-2.0

package top

import (
	"maps"
	"slices"
	"testing"
	"time"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestTextWidth(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "äöü": 3, "a\u0308": 1, "日本": 4, "ＡＢ": 4, "한글": 4, "😀": 2, "ｱ": 1, "e\u200d": 1,
	} {
		if got := textWidth(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"日本語", 2, "…"},
		{"abc", 1, "…"},
		{"abc", 0, ""},
		{"abc", -1, ""},
		{"a\u0308bc", 2, "a\u0308…"},
	} {
		if got := clip(test.text, test.n); got != test.want {
			t.Errorf("clip(%q, %d) = %q, want %q", test.text, test.n, got, test.want)
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("日本語 abc", 4)
	f.Add("\x1b[2J", 3)
	f.Add("\xff\xfe", 1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		clean := printable(text)
		if got := textWidth(clip(clean, n)); got > max(n, 0) {
			t.Errorf("%q cut to %d columns has %d", text, n, got)
		}
		for _, r := range clean {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				t.Errorf("%q keeps %U", text, r)
			}
		}
	})
}

func TestFigures(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<64 - 1: "16.0 EiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m00s", time.Hour - 1: "59m59s",
		25*time.Hour + time.Minute: "1d01h", 2 * time.Hour: "2h00m", 400 * 24 * time.Hour: "400d00h",
	} {
		if got := ageText(d); got != want {
			t.Errorf("age %v: %q, want %q", d, got, want)
		}
	}
}
