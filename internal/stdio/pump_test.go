// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

func (p *Pump) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.flows)
}

// TestPumpIsFair: a client that does not read holds up its own terminal only.
func TestPumpIsFair(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	pump := newPump(t)
	lazy, busy := mkfifo(t, "lazy"), mkfifo(t, "busy")
	reader(t, lazy)
	held := openKept(t, Config{Stdout: lazy, Terminal: true}, nil, pump)
	onTerminal(t, held, "yes")
	stdout := reader(t, busy)
	s := openKept(t, Config{Stdout: busy, Terminal: true}, nil, pump)
	onTerminal(t, s, "i=0; while [ $i -lt 3000 ]; do echo $i 56789012345678901234567890; i=$((i+1)); done")
	if text := readAll(t, stdout); strings.Count(text, "\n") != 3000 {
		t.Errorf("read %d lines of 3000", strings.Count(text, "\n"))
	}
	s.Close(t.Context())
	held.Hangup()
	if n := pump.len(); n != 0 {
		t.Errorf("%d flows are left", n)
	}
}

// TestPumpLetsGoOfDeadTerminal: input for a program that has gone does not keep the Pump busy.
func TestPumpLetsGoOfDeadTerminal(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	pump := newPump(t)
	in := mkfifo(t, "in")
	s := openKept(t, Config{Stdin: in, Terminal: true}, nil, pump)
	cmd := onTerminal(t, s, "stty raw -echo; sleep 0.1")
	client, err := os.OpenFile(in, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	go client.Write(make([]byte, 1<<20)) // until it is closed
	_ = cmd.Wait()
	testnode.Eventually(t, "no flow is left", func() bool { return pump.len() == 0 })
	s.Close(t.Context())
}

// TestTerminalFromFile: an ordinary file can be typed, too.
func TestTerminalFromFile(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := mkfifo(t, "out")
	stdout := reader(t, out)
	s := open(t, Config{Stdin: in, Stdout: out, Terminal: true})
	onTerminal(t, s, `read word; echo "got $word"`)
	if got := readAll(t, stdout); !strings.HasSuffix(got, "got hello\r\n") {
		t.Errorf("terminal: %q", got)
	}
}

func TestPumpCloseTwice(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	pump := &Pump{}
	s := openKept(t, Config{Terminal: true}, nil, pump)
	onTerminal(t, s, "sleep 100")
	for range 2 {
		if err := pump.Close(); err != nil {
			t.Error(err)
		}
	}
	s.Close(t.Context()) // comes to an end
	if _, err := pump.copy(os.Stdin, nil, func() {}); err == nil {
		t.Error("a closed Pump copies")
	}
}
