// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// filePipes are Files and the daemon's ends of them.
type filePipes struct {
	Files
	stdin, stdout, stderr *os.File
}

func openPipes(t *testing.T) (p filePipes) {
	t.Helper()
	var errs [3]error
	p.stdin, p.Stdin, errs[0] = kernel.InputPipe()
	p.stdout, p.Stdout, errs[1] = kernel.OutputPipe()
	p.stderr, p.Stderr, errs[2] = kernel.OutputPipe()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { closeAll(p.stdin, p.stdout, p.stderr) })
	return p
}

func TestFiles(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	p := openPipes(t)
	s, err := Open(t.Context(), Config{Stdout: "/ignored", Files: &p.Files}, Options{UID: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	cmd := program(t, s, "cat; echo problem >&2")
	if _, err := p.stdin.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	p.stdin.Close()
	out, _ := io.ReadAll(p.stdout) // to its end: the daemon has kept no copy
	errs, _ := io.ReadAll(p.stderr)
	if string(out) != "hello" || string(errs) != "problem\n" {
		t.Errorf("read %q, %q", out, errs)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestFilesOwner(t *testing.T) {
	testnode.NeedRoot(t)
	p := openPipes(t)
	p.Files.Stdin.Close()
	p.Files.Stdin = nil // /dev/null
	s, err := Open(t.Context(), Config{Files: &p.Files}, Options{UID: 4711})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	var stat unix.Stat_t
	if err := unix.Fstat(int(p.Files.Stdout.Fd()), &stat); err != nil || stat.Uid != 4711 {
		t.Errorf("the pipe belongs to %d, %v", stat.Uid, err)
	}
}

func TestFilesWithTerminal(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	p := openPipes(t)
	s, err := Open(t.Context(), Config{Terminal: true, Files: &p.Files}, Options{UID: -1, Pump: newPump(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	onTerminal(t, s, `read word; echo "got $word"`)
	if _, err := p.stdin.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	if out, _ := io.ReadAll(p.stdout); string(out) != "hello\r\ngot hello\r\n" {
		t.Errorf("terminal: %q", out)
	}
}

// TestHangup: the program of a terminal that is closed gets SIGHUP, whatever its output waits for.
func TestHangup(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	p := openPipes(t)
	s, err := Open(t.Context(), Config{Terminal: true, Files: &p.Files}, Options{UID: -1, Pump: newPump(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	cmd := onTerminal(t, s, "yes")
	time.Sleep(20 * time.Millisecond)
	began := time.Now()
	s.Hangup()
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "hangup") {
		t.Errorf("the program ended with %v", err)
	}
	if took := time.Since(began); took > testnode.Patience { // nobody ever reads what it prints
		t.Errorf("it took %v", took)
	}
	s.Hangup()
}

func TestFilesAreNotRecorded(t *testing.T) {
	text, err := json.Marshal(Config{Stdout: "/out", Files: &Files{Stdin: os.Stdin}})
	if err != nil || string(text) != `{"stdout":"/out"}` {
		t.Errorf("%s, %v", text, err)
	}
}
