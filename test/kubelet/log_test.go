// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testRotation: a log that grows too big is put aside and packed, few old ones
// are kept, and no line is lost or written twice in what is there.
func testRotation(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "i=0; while :; do i=$((i+1)); echo line $i; if test $((i % 100)) = 0; then sleep 0.1; test -e /tmp/stop && exec sleep 1d; fi; done"]
`)
	p.ready()
	dir := p.logDir("main")
	eventually(t, "the log was rotated more often than files are kept", func() error {
		files := logFilesIn(dir)
		if len(files) < logFiles {
			return fmt.Errorf("%v", files)
		}
		first, err := firstLine(files[0])
		if err == nil && first == 1 {
			err = errors.New("the first one is still there")
		}
		return err
	})
	p.sh("main", "touch /tmp/stop")
	var numbers []int
	eventually(t, "the files are read", func() (err error) {
		numbers, err = readLines(dir)
		return err
	})
	if files := logFilesIn(dir); len(files) > logFiles+1 { // one is being packed
		t.Errorf("there are %v, at most %d are to be kept", files, logFiles)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+1 {
			t.Fatalf("line %d follows line %d", numbers[i], numbers[i-1])
		}
	}
}

func (p *pod) logDir(container string) string {
	return p.node.path("logs", "default_"+p.fullName()+"_"+p.status().Metadata.UID, container)
}

// logFilesIn returns the log files, oldest first: their names end in a time,
// but for the last one's. One that is packed is there twice for a moment.
func logFilesIn(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log*"))
	slices.SortFunc(files, func(a, b string) int {
		if strings.HasSuffix(a, ".log") != strings.HasSuffix(b, ".log") {
			return strings.Compare(b, a)
		}
		return strings.Compare(a, b)
	})
	all := slices.Clone(files)
	return slices.DeleteFunc(files, func(name string) bool {
		return strings.HasSuffix(name, ".tmp") || slices.Contains(all, name+".gz")
	})
}

func firstLine(path string) (int, error) {
	numbers, err := readLog(path)
	if err != nil || len(numbers) == 0 {
		return 0, errors.Join(err, errors.New("no line"))
	}
	return numbers[0], nil
}

// readLines returns the numbers in all files. It fails if the kubelet rotates
// meanwhile: another file may have the name of the last one then.
func readLines(dir string) ([]int, error) {
	var numbers []int
	files := logFilesIn(dir)
	for _, path := range files {
		more, err := readLog(path)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, more...)
	}
	if now := logFilesIn(dir); !slices.Equal(now, files) {
		return nil, fmt.Errorf("there were %v, and there are %v", files, now)
	}
	return numbers, nil
}

// readLog reads a file in CRI's format: time, stream, tag, and what was said. A
// last line without an end is being written.
func readLog(path string) ([]int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var r io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(file); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for line := range bytes.Lines(text[:bytes.LastIndexByte(text, '\n')+1]) {
		var when, stream, tag string
		var number int
		if _, err := fmt.Sscanf(string(line), "%s %s %s line %d", &when, &stream, &tag, &number); err != nil {
			return nil, fmt.Errorf("line %q of %s: %w", line, path, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, when); err != nil || stream != "stdout" || tag != "F" {
			return nil, fmt.Errorf("line %q of %s: %w", line, path, err)
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// testLogs: what the kubelet makes of a container's log.
func testLogs(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command:
  - sh
  - -c
  - |
    echo one; echo two >&2; printf 'no end'; echo
    until test -e /tmp/long; do sleep 0.1; done
    head -c 40000 /dev/zero | tr '\0' x; echo
    until test -e /tmp/go; do sleep 0.1; done
    for i in 1 2 3; do echo more $i; done
    exec sleep 1d
`)
	p.ready()
	long := strings.Repeat("x", 40000) + "\n"
	for _, want := range []string{"one\n", "two\n", "no end\n"} { // which of two pipes is read first is open
		p.says("main", want)
	}
	p.sh("main", "touch /tmp/long") // only now: a line of the one may come between two parts of a line of the other
	p.says("main", long)
	expect(t, "length of the log", len(p.logs("main")), len("one\ntwo\nno end\n"+long))
	p.follow(p.logPath("main", url.Values{"follow": {"true"}, "tailLines": {"1"}}), func() {
		p.sh("main", "touch /tmp/go")
	}, "more 1", "more 2", "more 3")
	stamp, rest, _ := strings.Cut(p.logsWith(url.Values{"timestamps": {"true"}, "tailLines": {"1"}}), " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || rest != "more 3\n" {
		t.Errorf("with a time the last line begins with %q (%v) and is %q", stamp, err, rest)
	}
}

func (p *pod) logsWith(query url.Values) string {
	p.t.Helper()
	text, err := p.node.kubelet.api.get(p.logPath("main", query))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// follow reads a log while it is written: exactly these lines after one that is
// there, once something was done. The kubelet answers before it has looked where the
// log ends; with a line of it, it has.
func (p *pod) follow(path string, do func(), want ...string) {
	p.t.Helper()
	body, err := p.node.kubelet.api.open(p.t.Context(), "GET", path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer body.Close()
	defer time.AfterFunc(patience, func() { body.Close() }).Stop()
	lines := bufio.NewScanner(body)
	if !lines.Scan() {
		p.t.Errorf("there is no line to begin with: %v", lines.Err())
	}
	do()
	for _, line := range want {
		if !lines.Scan() || lines.Text() != line {
			p.t.Errorf("the next line is %q (%v), want %s", lines.Text(), lines.Err(), strconv.Quote(line))
			return
		}
	}
}
