// SPDX-License-Identifier: Apache-2.0

package talklog

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/sardine-run/sardine/test/payload/talk"
)

// Expected is whose output is looked at, and how much of it must be there.
type Expected struct {
	Seed     uint64
	Page     talk.Snapshot // read after the output
	Terminal bool
	Whole    bool // the program has ended, and nothing may be missing
}

// Check compares the files of a container's log, the oldest first, with what the program of a page has written.
// running says that more may be on its way.
func Check(seed uint64, page string, terminal, running, whole bool, files ...string) error {
	log, err := Read(running, files...)
	if err != nil {
		return err
	}
	now, err := talk.ReadPage(page)
	if err != nil {
		return err
	}
	expected := &Expected{Seed: seed, Page: now, Terminal: terminal, Whole: whole && !running}
	var complaints []error
	for stream, text := range log.Text {
		if at, complaint := expected.Compare(stream, text); complaint != "" {
			complaints = append(complaints, fmt.Errorf("%s\n%s", complaint, log.around(stream, at)))
		}
	}
	return errors.Join(complaints...)
}

// Compare returns what is wrong with the text of a stream, "" for nothing, and at which offset.
func (e *Expected) Compare(stream int, got []byte) (at int, complaint string) {
	begun, finished := e.Page.Begun[stream], e.Page.Done[stream]
	want := talk.Text(e.Seed, stream, begun)[:begun]
	done := want[:finished]
	if e.Terminal { // the line discipline has put a carriage return before each newline
		want, done = bytes.ReplaceAll(want, []byte("\n"), []byte("\r\n")), bytes.ReplaceAll(done, []byte("\n"), []byte("\r\n"))
	}
	if at := difference(got, want); at >= 0 {
		return at, fmt.Sprintf("%s of %d bytes, %d to %d were written: %s", talk.Streams[stream], len(got), finished, begun, explain(got, want, at))
	}
	if e.Whole && len(got) < len(done) {
		return len(got), fmt.Sprintf("%s of %d bytes, %d to %d were written: %d bytes at the end are lost after %s",
			talk.Streams[stream], len(got), finished, begun, len(done)-len(got), excerpt(got, len(got)))
	}
	return 0, ""
}

// difference returns the first offset at which got is not the beginning of want; -1 if it is.
func difference(got, want []byte) int {
	for i, b := range got {
		if i >= len(want) || want[i] != b {
			return i
		}
	}
	return -1
}

// explain says how got goes wrong at an offset.
func explain(got, want []byte, at int) string {
	return fmt.Sprintf("from byte %d on it is\n  %s\nand must be\n  %s\n%s", at, excerpt(got, at), excerpt(want, at), guess(got, want, at))
}

func excerpt(text []byte, at int) string {
	return fmt.Sprintf("%q | %q", text[max(0, at-60):min(at, len(text))], text[min(at, len(text)):min(at+100, len(text))])
}

// guess tells a loss from a repetition by the place of the next line that got has.
func guess(got, want []byte, at int) string {
	in := lineStart.FindIndex(got[at:])
	if in == nil {
		return "no line follows"
	}
	there := bytes.Index(want, got[at+in[0]:at+in[1]])
	switch gap := there - (at + in[0]); {
	case there < 0:
		return "a line follows that was never written"
	case gap > 0:
		return fmt.Sprintf("%d bytes are lost", gap)
	case gap < 0:
		return fmt.Sprintf("%d bytes are repeated", -gap)
	}
	return "the line after that is where it must be"
}

var lineStart = regexp.MustCompile(`std(out|err) [0-9]{6} `)
