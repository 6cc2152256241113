// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// marker begins the lines with which the guest's script structures its output:
//
//	boot SECONDS           the script runs
//	begin PACKAGE          its tests' output follows
//	end PACKAGE STATUS S   they exited with STATUS after S seconds
//	journal                the system's log follows, because something failed
//	exit STATUS            all is said
const marker = "@@sardine-vm "

// report turns the guest's output into what a developer wants to read: a line
// for a package that passes, with the reasons of skipped tests, and everything
// of one that does not.
type report struct {
	out     io.Writer
	verbose bool
	began   time.Time

	pkg    string   // whose tests run now
	lines  []string // what they said since they began
	faults []string // of all packages, in short

	booted chan struct{} // closed at the marker boot
	done   chan struct{} // closed at the marker exit
	failed bool          // valid when done
}

func newReport(out io.Writer, verbose bool) *report {
	return &report{
		out: out, verbose: verbose, began: time.Now(),
		booted: make(chan struct{}), done: make(chan struct{}),
	}
}

// read consumes the guest's output until it ends.
func (r *report) read(from io.Reader) error {
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(strings.TrimRight(line, "\r\n"))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line string) {
	if r.verbose {
		fmt.Fprintln(r.out, line)
	}
	// A test may end its last line without a newline.
	before, mark, marked := strings.Cut(line, marker)
	if before != "" {
		r.lines = append(r.lines, before)
	}
	if marked {
		r.mark(strings.Fields(mark))
	}
}

func (r *report) mark(word []string) {
	switch {
	case len(word) == 2 && word[0] == "boot" && !isClosed(r.booted):
		close(r.booted)
		fmt.Fprintf(r.out, "vm: booted in %s\n", since(r.began))
	case len(word) == 2 && word[0] == "begin":
		r.pkg, r.lines = word[1], nil
	case len(word) == 4 && word[0] == "end":
		r.end(word[1], word[2], word[3])
	case len(word) == 1 && word[0] == "journal":
		r.lines = nil
	case len(word) == 2 && word[0] == "exit" && !isClosed(r.done):
		r.exit(word[1])
	}
}

func (r *report) end(pkg, status, seconds string) {
	switch {
	case status != "0":
		r.printLines()
		fmt.Fprintf(r.out, "FAIL\t%s\t%ss\n", pkg, seconds)
		r.faults = append(append(r.faults, faults(r.lines)...), "FAIL\t"+pkg)
	default:
		passed, skipped := summarize(r.lines)
		fmt.Fprintf(r.out, "ok\t%s\t%ss\t%d passed, %d skipped\n", pkg, seconds, passed, len(skipped))
		for _, skip := range skipped {
			fmt.Fprintf(r.out, "\tskipped %s\n", skip)
		}
	}
	r.pkg, r.lines = "", nil
}

// exit takes over the guest's verdict. A status that is no number is a failure. What failed is said again after the system's log: whoever
// reads the end of a long output reads that.
func (r *report) exit(status string) {
	if r.failed = status != "0"; r.failed {
		r.printLines()
		fmt.Fprintf(r.out, "vm: what failed, in short:\n%s\n", strings.Join(r.faults, "\n"))
	}
	r.lines = nil
	close(r.done)
}

// printLines shows what was held back, without the lines that only say a test
// began, went on or passed.
func (r *report) printLines() {
	if r.verbose {
		return
	}
	for _, line := range r.lines {
		if !isProgress(line) {
			fmt.Fprintln(r.out, line)
		}
	}
}

func isProgress(line string) bool {
	line = strings.TrimLeft(line, " ")
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "--- PASS"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// faults are the lines that say what failed and why.
func faults(lines []string) (short []string) {
	said, current := map[string][]string{}, ""
	for _, line := range lines {
		field := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "panic: "):
			short = append(short, line)
		case len(field) < 3:
		case field[0] == "===":
			current = field[2]
		case field[0] == "---" && field[1] == "FAIL:":
			short = append(append(short, said[field[2]]...), line)
		case reason(line) != "":
			said[current] = append(said[current], line)
		}
	}
	return short
}

// summarize counts tests, subtests included, and gives for each skipped one its
// name and the last thing it said, which is why.
func summarize(lines []string) (passed int, skipped []string) {
	said, current := map[string]string{}, ""
	for _, line := range lines {
		field := strings.Fields(line)
		switch {
		case len(field) < 3:
		case field[0] == "===": // RUN, CONT or NAME: what follows is this test's
			current = field[2]
		case field[0] == "---" && field[1] == "PASS:":
			passed++
		case field[0] == "---" && field[1] == "SKIP:":
			skipped = append(skipped, field[2]+said[field[2]])
		case reason(line) != "":
			said[current] = reason(line)
		}
	}
	return passed, skipped
}

// reason strips the position off a test's message.
func reason(line string) string {
	position, text, ok := strings.Cut(line, ": ")
	if !ok || !strings.Contains(position, ".go:") {
		return ""
	}
	return ": " + text
}

// pending says what the guest was doing when it stopped answering.
func (r *report) pending() string {
	switch {
	case !isClosed(r.booted):
		return "while booting"
	case r.pkg != "":
		return "in the tests of " + r.pkg
	}
	return "between tests"
}

func since(began time.Time) string {
	return strconv.FormatFloat(time.Since(began).Seconds(), 'f', 1, 64) + " s"
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
