// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// execURL asks for an exec session.
func (n *node) execURL(id string, asked streamsAsked, cmd ...string) string {
	n.t.Helper()
	r, err := n.GetExec(&runtimeapi.ExecRequest{
		ContainerId: id, Cmd: cmd, Stdin: asked.stdin, Stdout: asked.stdout, Stderr: asked.stderr, Tty: asked.tty,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return r.Url
}

// eachProtocol runs test with either.
func eachProtocol(t *testing.T, test func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client)) {
	for name, dial := range protocols {
		t.Run(name, func(t *testing.T) { test(t, dial) })
	}
}

func TestExec(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.idle("one")
		before := n.descriptors()
		for script, want := range map[string]struct {
			code      int
			out, errs string
		}{
			"echo hello; echo oh >&2": {0, "hello\n", "oh\n"},
			"exit 5":                  {5, "", ""},
			"kill -9 $$":              {137, "", ""},
			"cat; tty; echo $TERM":    {0, "not a tty\ndumb\n", ""},
		} {
			asked := streamsAsked{stdout: true, stderr: true}
			c := dial(t, n.execURL("one", asked, "sh", "-c", script), asked)
			code, err := c.exit(t)
			if err != nil || code != want.code {
				t.Errorf("%s: exit code %d, %v", script, code, err)
			}
			if out, errs := c.stdout.atEnd(t), c.stderr.atEnd(t); out != want.out || errs != want.errs {
				t.Errorf("%s: %q, %q", script, out, errs)
			}
			c.hangup()
		}
		n.sameDescriptors(before)
	})
}

func TestExecFails(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.idle("one")
		before := n.descriptors()
		asked := streamsAsked{stdin: true, stdout: true, stderr: true}
		c := dial(t, n.execURL("one", asked, "nosuch"), asked)
		if code, err := c.exit(t); code != -1 || err == nil || !strings.Contains(err.Error(), "nosuch") {
			t.Errorf("%d, %v", code, err)
		}
		c.hangup()
		n.sameDescriptors(before)
	})
}

func TestExecInput(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	before := n.descriptors()
	asked := streamsAsked{stdin: true, stdout: true}
	c := dialSPDY(t, n.execURL("one", asked, "wc", "-c"), asked)
	text := strings.Repeat("0123456789abcdef", 1<<16) // more than a pipe holds
	if _, err := io.Copy(c.stdin, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	c.stdin.Close()
	if code, err := c.exit(t); code != 0 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	if out := c.stdout.atEnd(t); out != fmt.Sprintln(len(text)) {
		t.Errorf("it read %q", out)
	}
	c.hangup()
	n.sameDescriptors(before)
}

// TestExecInputWebSocket: the protocol has no end of input, so the program is told when.
func TestExecInputWebSocket(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	asked := streamsAsked{stdin: true, stdout: true}
	c := dialWebSocket(t, n.execURL("one", asked, "sh", "-c", `read word; echo "got $word"`), asked)
	for range 3 { // sizes of a terminal that there is not
		if err := c.resize(80, 24); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(c.stdin, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if code, err := c.exit(t); code != 0 || err != nil || c.stdout.String() != "got hello\n" {
		t.Errorf("%d, %v, %q", code, err, c.stdout)
	}
}

// TestExecInputUnread: input that the program does not take holds up neither it nor the session.
func TestExecInputUnread(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	before := n.descriptors()
	asked := streamsAsked{stdin: true, stdout: true}
	c := dialSPDY(t, n.execURL("one", asked, "sh", "-c", "exec <&-; echo ready; sleep 0.2; echo done"), asked)
	c.stdout.await(t, "ready")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(c.stdin, io.LimitReader(zeros{}, 8<<20)) // fails when the session is over
	}()
	if code, err := c.exit(t); code != 0 || err != nil || c.stdout.atEnd(t) != "ready\ndone\n" {
		t.Errorf("%d, %v, %q", code, err, c.stdout)
	}
	c.hangup()
	<-sent
	n.sameDescriptors(before)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestExecTerminal(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.idle("one")
		before := n.descriptors()
		asked := streamsAsked{stdin: true, stdout: true, tty: true}
		c := dial(t, n.execURL("one", asked, "sh", "-c",
			`echo $TERM; until [ "$(stty size)" = "30 100" ]; do sleep 0.02; done; echo sized; read word; stty size; trap "stty size; exit 3" WINCH; echo "got $word"; while :; do sleep 0.02; done`), asked)
		c.stdout.await(t, "xterm\r\n")
		if err := c.resize(100, 30); err != nil {
			t.Fatal(err)
		}
		c.stdout.await(t, "sized\r\n") // it goes by another stream than what follows
		if _, err := io.WriteString(c.stdin, "hello\n"); err != nil {
			t.Fatal(err)
		}
		c.stdout.await(t, "30 100\r\ngot hello\r\n")
		if err := c.resize(0, 0); err != nil { // ignored
			t.Fatal(err)
		}
		if err := c.resize(81, 25); err != nil {
			t.Fatal(err)
		}
		if code, err := c.exit(t); code != 3 || err != nil || !strings.HasSuffix(c.stdout.atEnd(t), "got hello\r\n25 81\r\n") {
			t.Errorf("%d, %v, %q", code, err, c.stdout)
		}
		c.hangup()
		n.sameDescriptors(before)
	})
}

// TestExecTerminalOutput: all that a program on a terminal prints arrives before its end.
func TestExecTerminalOutput(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	asked := streamsAsked{stdout: true, tty: true}
	c := dialSPDY(t, n.execURL("one", asked, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"), asked)
	if code, err := c.exit(t); code != 0 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	if out := c.stdout.atEnd(t); strings.Count(out, "\r\n") != 20000 || !strings.HasSuffix(out, "19999\r\n") {
		t.Errorf("%d bytes", len(out))
	}
}

// TestExecClientGone: the program reads the end of its input, or is hung up with its
// terminal; one that writes gets SIGPIPE.
func TestExecClientGone(t *testing.T) {
	for name, test := range map[string]struct {
		asked  streamsAsked
		script string
	}{
		"reads":    {streamsAsked{stdin: true, stdout: true}, "echo ready; cat; exec sleep 0.01"},
		"writes":   {streamsAsked{stdout: true, stderr: true}, "echo ready; while :; do echo x; sleep 0.02; done"},
		"terminal": {streamsAsked{stdin: true, stdout: true, tty: true}, "echo ready; sleep 101"},
		"shell":    {streamsAsked{stdin: true, stdout: true, tty: true}, "echo ready; exec sh -i"},
		"floods":   {streamsAsked{stdin: true, stdout: true, tty: true}, "echo ready; exec yes"},
	} {
		t.Run(name, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
				n := newNode(t, Config{})
				box := n.idle("one")
				before := n.descriptors()
				c := dial(t, n.execURL("one", test.asked, "sh", "-c", test.script), test.asked)
				c.stdout.await(t, "ready")
				c.hangup()
				n.onlyIdle(box)
				n.sameDescriptors(before)
			})
		})
	}
}

// TestExecClientGoneUnread: a terminal is hung up also when the program has not read what came
// before.
func TestExecClientGoneUnread(t *testing.T) {
	n := newNode(t, Config{})
	box := n.idle("one")
	before := n.descriptors()
	asked := streamsAsked{stdin: true, stdout: true, tty: true}
	c := dialSPDY(t, n.execURL("one", asked, "sh", "-c", "stty raw -echo; echo ready; exec sleep 101"), asked)
	c.stdout.await(t, "ready")
	if _, err := io.Copy(c.stdin, io.LimitReader(zeros{}, 48<<10)); err != nil {
		t.Fatal(err)
	}
	c.hangup()
	n.onlyIdle(box)
	n.sameDescriptors(before)
}

// TestExecClientGoneInput: what a client has sent before it went is read all the same.
func TestExecClientGoneInput(t *testing.T) {
	n := newNode(t, Config{})
	box := n.idle("one")
	before := n.descriptors()
	asked := streamsAsked{stdin: true, stdout: true}
	c := dialWebSocket(t, n.execURL("one", asked, "sh", "-c", "echo ready; sleep 0.3; cat >/tmp/got"), asked)
	c.stdout.await(t, "ready")
	const size = 300 << 10 // more than a pipe holds
	if _, err := io.Copy(c.stdin, io.LimitReader(zeros{}, size)); err != nil {
		t.Fatal(err)
	}
	c.hangup()
	n.onlyIdle(box)
	if info, err := os.Stat(filepath.Join(n.image(), "tmp/got")); err != nil || info.Size() != size {
		t.Errorf("it read %v, %v", info, err)
	}
	n.sameDescriptors(before)
}

// TestExecClientGoneQuiet: a program that neither reads nor writes is left alone, and forgotten
// when it ends.
func TestExecClientGoneQuiet(t *testing.T) {
	n := newNode(t, Config{})
	box := n.idle("one")
	before := n.descriptors()
	asked := streamsAsked{stdout: true}
	c := dialSPDY(t, n.execURL("one", asked, "sh", "-c", "echo ready; until [ -e /tmp/go ]; do sleep 0.02; done"), asked)
	c.stdout.await(t, "ready")
	c.hangup()
	time.Sleep(100 * time.Millisecond)
	if !slices.ContainsFunc(n.commands(box), func(command string) bool { return strings.HasPrefix(command, "sh -c echo ready") }) {
		t.Error("it was killed")
	}
	if err := os.WriteFile(filepath.Join(n.image(), "tmp/go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.onlyIdle(box)
	n.sameDescriptors(before)
}

// TestExecBackground: a session does not wait longer than it is told for those that hold the output.
func TestExecBackground(t *testing.T) {
	n := newNode(t, Config{DrainTimeout: 100 * time.Millisecond})
	box := n.idle("one")
	asked := streamsAsked{stdout: true}
	c := dialSPDY(t, n.execURL("one", asked, "sh", "-c", "sleep 101 & echo started"), asked)
	if code, err := c.exit(t); code != -1 || err == nil || !strings.Contains(err.Error(), "hold its output") {
		t.Errorf("%d, %v", code, err)
	}
	if out := c.stdout.atEnd(t); out != "started\n" {
		t.Errorf("it printed %q", out)
	}
	n.stillRuns(box, "sleep 101")
}

// TestExecSlowClient: what a client does not read holds up the program and nothing else.
func TestExecSlowClient(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	before := n.descriptors()
	url := n.execURL("one", streamsAsked{stdout: true}, "yes")
	ws := dialWS(t, url, "v4.channel.k8s.io")
	time.Sleep(100 * time.Millisecond)
	if r, err := n.execSync("one", "echo hello", testnode.Patience); err != nil || string(r.Stdout) != "hello\n" {
		t.Errorf("%+v, %v", r, err)
	}
	ws.Close()
	n.sameDescriptors(before)
}

// TestExecServerClosesBefore: a client whose command has not ended is not told that it ended well.
func TestExecServerClosesBefore(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.idle("one")
		asked := streamsAsked{stdout: true}
		c := dial(t, n.execURL("one", asked, "sh", "-c", "echo ready; exec sleep 101"), asked)
		c.stdout.await(t, "ready")
		n.farewell = 2 * testnode.Patience // not to be waited for
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if code, err := c.exit(t); code != -1 || err == nil || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("%d, %v", code, err)
		}
	})
}

// TestExecServerCloses: sessions end with the Server, and the programs see their client go.
func TestExecServerCloses(t *testing.T) {
	n := newNode(t, Config{})
	box := n.idle("one")
	asked := streamsAsked{stdin: true, stdout: true, tty: true}
	c := dialSPDY(t, n.execURL("one", asked, "sh", "-c", "echo ready; sleep 101"), asked)
	c.stdout.await(t, "ready")
	other := streamsAsked{stdout: true}
	full := streamsAsked{stdin: true, stdout: true}
	flood := dialSPDY(t, n.execURL("one", full, "sh", "-c", "echo ready; exec sleep 102"), full)
	flood.stdout.await(t, "ready")
	if _, err := io.Copy(flood.stdin, io.LimitReader(zeros{}, 256<<10)); err != nil {
		t.Fatal(err)
	}
	quiet := dialWebSocket(t, n.execURL("one", other, "sh", "-c", "echo ready; sleep 0.2"), other)
	quiet.stdout.await(t, "ready")
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	n.noGoroutines()
	c.status.atEnd(t)
	quiet.status.atEnd(t)
	n.eventually("the others have ended", func() bool { return slices.Equal(n.commands(box), []string{"sleep 1000", "sleep 102"}) })
}
