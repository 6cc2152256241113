// SPDX-License-Identifier: Apache-2.0

package top

import (
	"strings"
	"testing"
)

func TestDrawWritesWhatDiffers(t *testing.T) {
	var s screen
	first := s.draw([]line{{"one", plain}, {"two", inverse}, {"three", plain}})
	for _, want := range []string{eraseScreen, "one", "\x1b[7mtwo\x1b[0m", "three"} {
		if !strings.Contains(string(first), want) {
			t.Errorf("%q lacks %q", first, want)
		}
	}
	if again := s.draw([]line{{"one", plain}, {"two", inverse}, {"three", plain}}); again != nil {
		t.Errorf("the same again: %q", again)
	}
	want := beginFrame + "\x1b[2;1H" + eraseLine + "\x1b[7mTWO\x1b[0m" + "\x1b[3;1H" + eraseLine + "\x1b[0m" + endFrame
	if got := string(s.draw([]line{{"one", plain}, {"TWO", inverse}})); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	s.forget()
	if got := string(s.draw([]line{{"one", plain}})); !strings.Contains(got, eraseScreen) || !strings.Contains(got, "one") {
		t.Errorf("forgotten: %q", got)
	}
}
