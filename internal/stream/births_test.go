// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/test/births"
)

// TestExecIsOneClone: what is executed costs one process, which executes sardine-init and then the program.
func TestExecIsOneClone(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	args := []string{"/bin/true"}
	execSync := func() error {
		_, err := n.ExecSync(t.Context(), "one", args, time.Minute)
		return err
	}
	if err := execSync(); err != nil {
		t.Fatal(err)
	}
	record := births.Watch(t, os.Getpid())
	record.WatchExecs()
	for name, run := range map[string]func() error{
		"ExecSync": execSync,
		"exec": func() error {
			_, err := n.exec(t.Context(), "one", args, terminalStreams{in: strings.NewReader(""), out: io.Discard, errs: io.Discard})
			return err
		},
		"exec with a terminal": func() error {
			_, err := n.exec(t.Context(), "one", args, terminalStreams{in: strings.NewReader(""), out: io.Discard, tty: true})
			return err
		},
	} {
		record.Forget()
		if err := run(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if clones := record.List(); len(clones) != 1 {
			t.Errorf("%s: %d processes: %q", name, len(clones), clones)
		}
		if execs := record.Execs(); len(execs) != 2 || execs[1] != args[0] {
			t.Errorf("%s: programs %q, want sardine-init and %s", name, execs, args[0])
		}
	}
}
