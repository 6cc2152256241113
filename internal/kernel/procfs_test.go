// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const statLine = "4242 (sleep) S 17 4242 18 34816 4242 4194304 114 0 0 0 250 42 0 0 20 0 3 0 8867 5623808 " +
	"217 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 768\n"

func TestParseProcStat(t *testing.T) {
	want := ProcStat{Comm: "sleep", State: 'S', PPid: 17, Group: 4242, Session: 18, Threads: 3, CPUTicks: 292, StartTicks: 8867, Resident: 217, ExitWord: 768}
	tests := map[string]struct {
		text string
		want ProcStat
		fail bool
	}{
		"plain":            {text: statLine, want: want},
		"name ) S 1":       {text: strings.Replace(statLine, "sleep", ") S 1 (", 1), want: withComm(want, ") S 1 (")},
		"name newline":     {text: strings.Replace(statLine, "sleep", "a\nb c", 1), want: withComm(want, "a\nb c")},
		"empty name":       {text: strings.Replace(statLine, "sleep", "", 1), want: withComm(want, "")},
		"no exit code":     {text: strings.Join(strings.Fields(statLine)[:30], " "), want: ProcStat{Comm: "sleep", State: 'S', PPid: 17, Group: 4242, Session: 18, Threads: 3, CPUTicks: 292, StartTicks: 8867, Resident: 217}},
		"empty":            {fail: true},
		"no brackets":      {text: "1 2 3", fail: true},
		"brackets swapped": {text: "1 )x( S", fail: true},
		"cut short":        {text: "4242 (sleep) S 17 4242", fail: true},
		"not a number":     {text: strings.Replace(statLine, "8867", "8x67", 1), fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseProcStat([]byte(test.text))
			if (err != nil) != test.fail || got != test.want {
				t.Errorf("got %+v, %v, want %+v, failure %v", got, err, test.want, test.fail)
			}
		})
	}
}

func withComm(s ProcStat, comm string) ProcStat {
	s.Comm = comm
	return s
}

func FuzzParseProcStat(f *testing.F) {
	f.Add([]byte(statLine))
	f.Add([]byte("1 () Z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		stat, err := ParseProcStat(text)
		if err != nil && stat != (ProcStat{}) {
			t.Errorf("%+v together with %v", stat, err)
		}
	})
}

func TestReadProcStatOfThisProcess(t *testing.T) {
	stat, err := ReadProcStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if stat.PPid != os.Getppid() || stat.StartTicks == 0 || stat.Zombie() {
		t.Errorf("got %+v", stat)
	}
	const never = 1 << 30 // above any pid_max
	if _, err := ReadProcStat(never); !errors.Is(err, unix.ESRCH) {
		t.Errorf("process that does not exist: %v, want ESRCH", err)
	}
}
