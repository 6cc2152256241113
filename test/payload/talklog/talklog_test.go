// SPDX-License-Identifier: Apache-2.0

package talklog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/test/payload/talk"
)

const stamp = "2026-01-02T03:04:05.000000006Z "

func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	whole := stamp + "stdout P ab\n" + stamp + "stderr F x y\n" + stamp + "stdout F c\n" + stamp + "stdout P d\n"
	for _, test := range []struct {
		name, data string
		running    bool
		out, err   string
		fails      bool
	}{
		{name: "whole", data: whole, out: "abc\nd", err: "x y\n"},
		{name: "being written", data: whole + "2026-01-02T", running: true, out: "abc\nd", err: "x y\n"},
		{name: "torn", data: whole + "2026-01-02T", fails: true},
		{name: "no entry", data: whole + "hello\n", running: true, fails: true},
		{name: "other tag", data: stamp + "stdout X ab\n", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(test.data), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Read(test.running, path)
			if test.fails {
				if err == nil {
					t.Error("it is taken")
				}
				return
			}
			if err != nil || string(l.Text[0]) != test.out || string(l.Text[1]) != test.err {
				t.Errorf("got %q, %q, %v", l.Text[0], l.Text[1], err)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	want := talk.Text(3, 0, 20000)
	page := talk.Snapshot{Began: true, Begun: [2]int{len(want)}, Done: [2]int{len(want)}, Ends: true}
	killed := page
	killed.Ends, killed.Done[0] = false, len(want)-100
	for _, test := range []struct {
		name string
		got  []byte
		page talk.Snapshot
		want string // in the complaint, "" for none
	}{
		{"all", want, page, ""},
		{"a line lost", append(want[:300:300], want[400:]...), page, "100 bytes are lost"},
		{"a line twice", append(want[:400:400], want[300:]...), page, "100 bytes are repeated"},
		{"two lines changed places", append(append(append(want[:300:300], want[400:500]...), want[300:400]...), want[500:]...), page, "repeated"},
		{"the end lost", want[:len(want)-1], page, "1 bytes at the end are lost"},
		{"too much", append(want[:len(want):len(want)], 'x'), page, "no line follows"},
		{"killed while writing", want[:len(want)-50], killed, ""},
		{"killed, and more lost than that", want[:len(want)-150], killed, "50 bytes at the end are lost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, got := (&Expected{Seed: 3, Page: test.page, Whole: true}).Compare(0, test.got)
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
