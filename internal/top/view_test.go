// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func newView(r *Report) *view {
	return &view{report: r, options: Options{Sort: ByName}}
}

func text(lines []line) string {
	var list []string
	for _, l := range lines {
		list = append(list, strings.TrimRight(l.text, " "))
	}
	return strings.Join(list, "\n")
}

func TestFrame(t *testing.T) {
	v := newView(someReport())
	want := `sardine 1.2.3 at /run/d.sock, 12:00:00
node    cpu 12.2% of 200%  memory 1.0 GiB of 4.0 GiB  pods 3, 2 ready  containe…
daemon  cpu 0.5%  memory 50.0 MiB  threads 12  descriptors 345  up 2h05m  pid 77

NAMESPACE/NAME  RUNNING  STATE     CPU %     MEMORY  RESTARTS    AGE
batch/job           0/1  notReady      -          -         5    42s
db/store            1/1  ready       3.2    2.0 GiB         0  3d00h
web/shop            2/2  ready     150.0  300.0 MiB         2  1h00m

1-3 of 3  by name  q quit  t containers  i invert  sort c m r n a`
	if got := text(v.frame(80, 10)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	v.update(nil, errors.New("no daemon at /run/d.sock"), noon)
	v.update(nil, errors.New("still no daemon"), noon.Add(time.Minute))
	want = `since 12:00:00: still no daemon
NAMESPACE/NAME  CPU %     MEMORY
batch/job           -          -
1-1 of 3  by name  q quit  t containers…`
	if got := text(v.frame(40, 4)); got != want {
		t.Errorf("in a small window got\n%s\nwant\n%s", got, want)
	}
	v.update(manyPods(1), nil, noon)
	if got := text(v.frame(80, 10)); strings.Contains(got, "since") || !strings.Contains(got, "ns/pod-001") {
		t.Errorf("recovered:\n%s", got)
	}
}

// No window is too small.
func TestFrameFitsEveryWindow(t *testing.T) {
	reports := []*Report{someReport(), manyPods(0), manyPods(30)}
	reports[0].Pods[0].Name = "日本語のポッド-with-a-long-name-that-goes-on"
	for _, r := range reports {
		v := newView(r)
		for _, trouble := range []error{nil, errors.New("日本 trouble\x1b[2J\nof a long kind")} {
			v.trouble = trouble
			for width := 0; width < 130; width += 1 + width/12 {
				for height := 0; height < 30; height += 1 + height/10 {
					v.offset = height * 3
					lines := v.frame(width, height)
					if len(lines) != height {
						t.Fatalf("%dx%d: %d lines", width, height, len(lines))
					}
					for _, l := range lines {
						if textWidth(l.text) > width || strings.ContainsAny(l.text, "\x1b\n") {
							t.Fatalf("%dx%d: %q", width, height, l.text)
						}
					}
				}
			}
		}
	}
}

// shown is the first and the last pod in the window.
func shown(v *view, height int) string {
	var pods []string
	for _, l := range v.frame(80, height) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(l.text, "ns/pod-"), " "); strings.HasPrefix(l.text, "ns/") {
			pods = append(pods, name)
		}
	}
	if len(pods) == 0 {
		return ""
	}
	return pods[0] + "-" + pods[len(pods)-1]
}

func TestScrolling(t *testing.T) {
	v := newView(manyPods(50))
	const height = 16 // of which 10 are pods
	if got := shown(v, height); got != "001-010" {
		t.Fatalf("at first %s", got)
	}
	for i, step := range []struct {
		k    key
		want string
	}{
		{keyUp, "001-010"}, {keyDown, "002-011"}, {'j', "003-012"}, {keyPageDown, "013-022"}, {' ', "023-032"}, {'k', "022-031"},
		{keyPageUp, "012-021"}, {'b', "002-011"}, {'b', "001-010"}, {keyEnd, "041-050"}, {keyDown, "041-050"}, {keyPageUp, "031-040"},
		{keyHome, "001-010"}, {'G', "041-050"}, {'x', "041-050"}, {'i', "010-001"}, {'m', "001-010"},
	} {
		v.press(step.k)
		if got := shown(v, height); got != step.want {
			t.Fatalf("step %d: %s, want %s", i, got, step.want)
		}
	}
	v.press(keyEnd)
	v.update(manyPods(3), nil, noon) // the others have gone
	if got := shown(v, height); got != "001-003" {
		t.Errorf("of few: %s", got)
	}
	v.update(manyPods(50), nil, noon)
	v.press(keyEnd)
	if shown(v, 40); v.offset != 16 {
		t.Errorf("in a larger window %d are above", v.offset)
	}
}

func TestKeysThatSort(t *testing.T) {
	v := newView(someReport())
	for _, o := range orders() {
		v.press(key(o[0]))
		if v.options.Sort != o {
			t.Errorf("key %c sorts by %s, want %s", o[0], v.options.Sort, o)
		}
		footer := v.footer(0, 1, 1)
		if !strings.Contains(footer, fmt.Sprintf("by %s ", o)) {
			t.Errorf("footer %q", footer)
		}
	}
	v.press('i')
	if !v.options.Reverse || !strings.Contains(v.footer(0, 1, 1), "inverted") {
		t.Error("not inverted")
	}
	v.press('t')
	if got := text(v.frame(80, 20)); !strings.Contains(got, "\n  app") {
		t.Errorf("no containers:\n%s", got)
	}
}
