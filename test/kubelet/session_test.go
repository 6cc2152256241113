// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// testExec runs commands through the kubelet: in the two streaming protocols
// and in the simple one.
func testExec(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  env: [{name: COLOUR, value: blue}]
`)
	p.ready()
	ctx := t.Context()
	run := map[string]func(session) (string, error){
		"websocket": func(s session) (string, error) { return p.stream(ctx, "exec", "main", s) },
		"spdy":      func(s session) (string, error) { return p.execSPDY(ctx, "main", s) },
	}
	for name, exec := range run {
		t.Run(name, func(t *testing.T) { checkExec(t, exec) })
	}
	t.Run("terminal", func(t *testing.T) { checkTerminal(t, p) })
	t.Run("simple", func(t *testing.T) {
		out, err := n.kubelet.api.request(http.MethodPost, p.path("run", "main", url.Values{"cmd": {"cat /etc/group"}}))
		if err != nil || !strings.Contains(string(out), "root:x:0:") {
			t.Errorf("it says %q, %v", out, err)
		}
		if _, err := n.kubelet.api.request(http.MethodPost, p.path("run", "main", url.Values{"cmd": {"false"}})); err == nil {
			t.Error("no error of a command that fails")
		}
	})
}

func checkExec(t *testing.T, exec func(session) (string, error)) {
	out, err := exec(session{command: []string{"sh", "-c", "echo $COLOUR; echo bad >&2; exit 5"}})
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != 5 || exit.stderr != "bad\n" {
		t.Errorf("the error is %v", err)
	}
	expect(t, "what it says", out, "blue\n")
	big := strings.Repeat("0123456789abcdef", 64<<10)
	out, err = exec(session{command: []string{"cat"}, stdin: strings.NewReader(big)})
	if err != nil || out != big {
		t.Errorf("of %d bytes %d come back, %v", len(big), len(out), err)
	}
	if _, err = exec(session{command: []string{"no-such-program"}}); err == nil {
		t.Error("no error without a program")
	}
}

// checkTerminal types into a shell.
func checkTerminal(t *testing.T, p *pod) {
	read := typed(t, "test -t 0 && echo term''inal\nexit 7\n")
	out, err := p.stream(t.Context(), "exec", "main", session{command: []string{"sh"}, stdin: read, tty: true})
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != 7 {
		t.Errorf("the error is %v", err)
	}
	if !strings.Contains(out, "terminal\r\n") {
		t.Errorf("the shell says %q", out)
	}
}

// typed is a keyboard: after what was typed nothing comes, but no end either.
func typed(t *testing.T, text string) io.Reader {
	read, write := io.Pipe()
	t.Cleanup(func() { write.Close() })
	go func() { _, _ = io.WriteString(write, text) }() // ends when the pipe is closed
	return read
}

// testAttach: stdin of a container's own process, and what it says.
func testAttach(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "read line; echo got $line; echo bad >&2"]
  stdin: true
  stdinOnce: true
- name: terminal
  image: {{busybox}}
  command: [sh, -c, "read line; test -t 1 && echo got $line"]
  stdin: true
  tty: true
`)
	p.ready()
	var stderr bytes.Buffer
	out, err := p.stream(t.Context(), "attach", "main", session{stdin: strings.NewReader("something\n"), stderr: &stderr})
	if err != nil || out != "got something\n" || stderr.String() != "bad\n" {
		t.Errorf("main says %q and %q, %v", out, stderr.String(), err)
	}
	out, err = p.stream(t.Context(), "attach", "terminal", session{stdin: typed(t, "something\n"), tty: true})
	if err != nil || !strings.Contains(out, "got something\r\n") {
		t.Errorf("terminal says %q, %v", out, err)
	}
	p.ended("Succeeded")
	log := strings.Split(p.logs("main"), "\n")
	slices.Sort(log) // which of two pipes is read first is open
	expect(t, "the log", strings.Join(log, " "), " bad got something")
}

func testPortForward(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "while :; do nc -l -p 7000 -e cat; done"]
- name: local
  image: {{busybox}}
  command: [httpd, -f, -p, "127.0.0.1:7001", -h, /etc]
`)
	p.ready()
	big := strings.Repeat("0123456789abcdef", 16<<10)
	for _, data := range []string{"hello", big} {
		eventually(t, "the echo answers", func() error {
			out, err := p.forward(t.Context(), 7000, data)
			if err == nil && out != data {
				t.Errorf("of %d bytes %d come back", len(data), len(out))
			}
			return err
		})
	}
	eventually(t, "the server on loopback answers", func() error {
		out, err := p.forward(t.Context(), 7001, "GET /group HTTP/1.0\r\n\r\n")
		if err == nil && !strings.Contains(out, "root:x:0:") {
			t.Errorf("it answers %q", out)
		}
		return err
	})
	if out, err := p.forward(t.Context(), 7002, "hello"); err == nil {
		t.Errorf("a port that nobody listens on answers %q", out)
	}
}
