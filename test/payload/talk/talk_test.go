// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"bytes"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestTextIsKnown(t *testing.T) {
	long := Text(7, 0, 1<<20)
	if again := Text(7, 0, 1000); !bytes.HasPrefix(long, again) || len(again) < 1000 {
		t.Error("the same voice says something else")
	}
	if bytes.Equal(Text(8, 0, 1000)[:1000], long[:1000]) || bytes.Equal(Text(7, 1, 1000)[:1000], long[:1000]) {
		t.Error("another voice says the same")
	}
}

func TestScriptArgs(t *testing.T) {
	want := &Script{Seed: 1 << 63, Page: "/page", Pace: time.Millisecond, Voices: 2, Life: time.Second, Status: 137, Term: -1}
	got, err := Parse(want.Args()[1:])
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := Parse([]string{"/page", "x", "1s", "2", "1s", "0", "0"}); err == nil {
		t.Error("a seed that is no number is taken")
	}
}

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	if s, err := ReadPage(path); err != nil || s.Began {
		t.Errorf("a page that is not there: %+v, %v", s, err)
	}
	p, err := OpenPage(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Began.Store(1)
	p.Streams[1].Begun.Store(9)
	p.Streams[1].Done.Store(5)
	p.Claim.Store(1)
	want := Snapshot{Began: true, Begun: [2]int{0, 9}, Done: [2]int{0, 5}, Ends: true}
	if got, err := ReadPage(path); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
