// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const passing = `@@sardine-vm boot 9.1
@@sardine-vm begin internal/kernel
=== RUN   TestOne
--- PASS: TestOne (0.00s)
=== RUN   TestTwo
    two_test.go:9: needs 6.7: found 6.1
--- SKIP: TestTwo (0.00s)
=== RUN   TestThree
=== RUN   TestThree/part
    three_test.go:7: not on a Sunday
=== RUN   TestThree/rest
--- PASS: TestThree (0.00s)
    --- SKIP: TestThree/part (0.00s)
    --- PASS: TestThree/rest (0.00s)
PASS
@@sardine-vm end internal/kernel 0 1.5
@@sardine-vm exit 0
`

const failing = `@@sardine-vm boot 9.1
@@sardine-vm begin internal/kernel
=== RUN   TestOne
    one_test.go:5: what went wrong
--- FAIL: TestOne (0.00s)
FAIL
@@sardine-vm end internal/kernel 1 1.5
@@sardine-vm journal
a line of the log
@@sardine-vm exit 1
`

func TestReport(t *testing.T) {
	cut := func(text, before string) string {
		head, _, _ := strings.Cut(text, before)
		return head
	}
	for _, c := range []struct {
		name, guest  string
		done, failed bool
		want, hide   string
	}{
		{"pass", passing, true, false, "3 passed, 2 skipped\n\tskipped TestTwo: needs 6.7: found 6.1\n\tskipped TestThree/part: not on a Sunday\n", "RUN"},
		{"fail", failing, true, true, "what went wrong\n--- FAIL: TestOne", "RUN"},
		{"log", failing, true, true, "a line of the log\n", "RUN"},
		{"no newline before the marker", strings.Replace(passing, "PASS\n@@", "PASS@@", 1), true, false, "3 passed", "@@"},
		{"in short, at the end", failing, true, true, "log\nvm: what failed, in short:\n    one_test.go:5: what went wrong\n--- FAIL: TestOne (0.00s)\nFAIL\tinternal/kernel\n", "RUN"},
		{"strange status", cut(passing, "exit 0") + "exit Killed\n", true, true, "3 passed", "RUN"},
		{"stopped", cut(failing, "--- FAIL"), false, false, "", "what went wrong"},
		{"nothing", "", false, false, "", "vm:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out, false)
			if err := r.read(strings.NewReader(c.guest)); err != nil {
				t.Fatal(err)
			}
			if isClosed(r.done) != c.done || r.failed != c.failed {
				t.Errorf("done %v, failed %v; want %v, %v", isClosed(r.done), r.failed, c.done, c.failed)
			}
			if !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), c.hide) {
				t.Errorf("want %q and no %q in\n%s", c.want, c.hide, out.String())
			}
		})
	}
}

// A guest that stops is a failure that says where it stopped, whatever the
// reason qemu went away for.
func TestVerdict(t *testing.T) {
	head, _, _ := strings.Cut(failing, "--- FAIL")
	for guest, where := range map[string]string{
		"":   "while booting",
		head: "in the tests of internal/kernel",
		strings.ReplaceAll(passing, "@@sardine-vm exit 0\n", ""): "between tests",
	} {
		for _, cause := range []error{nil, errNoBoot} {
			for _, err := range []error{nil, &exec.ExitError{}, errors.New("pipe broke")} {
				m := &machine{report: newReport(io.Discard, false)}
				if err := m.report.read(strings.NewReader(guest)); err != nil {
					t.Fatal(err)
				}
				if got := m.verdict(cause, err); got == nil || !strings.Contains(got.Error(), where) {
					t.Errorf("verdict(%v, %v) = %v, want %q", cause, err, got, where)
				}
			}
		}
	}
}
