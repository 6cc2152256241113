// SPDX-License-Identifier: Apache-2.0

package talklog

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// entryOf is where an entry of a log lies: the file, the line, and what of a stream's text comes before it.
type entryOf struct {
	file string
	line int
	at   int
}

// Log is what a container's log files hold, in CRI's format, as the text of each stream.
type Log struct {
	Text    [2][]byte
	entries [2][]entryOf
	files   map[string][]byte
}

// Read reads the files of one log in the order in which they were written. A last line without newline is being
// written now if the container is running; otherwise it is an error.
func Read(running bool, paths ...string) (*Log, error) {
	l := &Log{files: map[string][]byte{}}
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) && i == len(paths)-1 {
			continue // it is made with the first entry
		}
		if err != nil {
			return nil, err
		}
		l.files[path] = data
		if err := l.add(running, path, data); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *Log) add(running bool, path string, data []byte) error {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		body, whole := bytes.CutSuffix(line, []byte("\n"))
		if !whole && running {
			return nil
		}
		// "2016-10-06T00:17:09.669794202Z stdout F text"
		parts := bytes.SplitN(body, []byte(" "), 4)
		if !whole || len(parts) != 4 || string(parts[1]) != "stdout" && string(parts[1]) != "stderr" || string(parts[2]) != "F" && string(parts[2]) != "P" {
			return fmt.Errorf("%s, line %d is no entry: %.200q", path, number, line)
		}
		stream := 0
		if string(parts[1]) == "stderr" {
			stream = 1
		}
		l.entries[stream] = append(l.entries[stream], entryOf{path, number, len(l.Text[stream])})
		l.Text[stream] = append(l.Text[stream], parts[3]...)
		if string(parts[2]) == "F" {
			l.Text[stream] = append(l.Text[stream], '\n')
		}
	}
	return nil
}

// around shows the entries of a stream about an offset in its text.
func (l *Log) around(stream, offset int) string {
	entries := l.entries[stream]
	wrong := len(entries) - 1
	for i, e := range entries {
		if e.at > offset {
			wrong = i - 1
			break
		}
	}
	var text strings.Builder
	for i := max(0, wrong-4); i <= min(wrong+4, len(entries)-1); i++ {
		e := entries[i]
		mark := "  "
		if i == wrong {
			mark = "> "
		}
		line := bytes.SplitN(l.files[e.file], []byte("\n"), e.line+1)[e.line-1]
		fmt.Fprintf(&text, "%s%s:%d: %s\n", mark, e.file, e.line, shorten(line))
	}
	return text.String()
}

func shorten(line []byte) string {
	if len(line) <= 160 {
		return string(line)
	}
	return fmt.Sprintf("%s[... %d bytes ...]%s", line[:100], len(line)-140, line[len(line)-40:])
}
