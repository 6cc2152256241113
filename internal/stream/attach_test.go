// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/testnode"
)

// attach opens a session with the container's first process.
func (n *node) attach(t *testing.T, id string, asked streamsAsked, dial func(*testing.T, string, streamsAsked) *client) *client {
	t.Helper()
	r, err := n.GetAttach(&runtimeapi.AttachRequest{
		ContainerId: id, Stdin: asked.stdin, Stdout: asked.stdout, Stderr: asked.stderr, Tty: asked.tty,
	})
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, r.Url, asked)
}

// greeted attaches and waits until the session gets what the container prints.
func (n *node) greeted(t *testing.T, id string, asked streamsAsked, dial func(*testing.T, string, streamsAsked) *client) *client {
	t.Helper()
	c := n.attach(t, id, asked, dial)
	c.stdout.await(t, "tick")
	return c
}

// ticking prints all the time, and answers every line that it reads.
const ticking = `(while :; do echo tick; sleep 0.02; done) & while read word; do echo "got $word"; echo oh >&2; done; echo end; exec sleep 1000`

func TestAttach(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.run("one", box{script: ticking, stdin: true})
		before := n.descriptors()
		all := streamsAsked{stdin: true, stdout: true, stderr: true}
		first, second := n.greeted(t, "one", all, dial), n.greeted(t, "one", streamsAsked{stdout: true}, dial)
		if _, err := io.WriteString(first.stdin, "hello\n"); err != nil {
			t.Fatal(err)
		}
		first.stdout.await(t, "got hello\n")
		first.stderr.await(t, "oh\n")
		second.stdout.await(t, "got hello\n") // everybody sees it
		first.hangup()
		second.hangup()
		n.sameDescriptors(before)
		third := n.greeted(t, "one", all, dial) // the input did not end with the first
		if _, err := io.WriteString(third.stdin, "again\n"); err != nil {
			t.Fatal(err)
		}
		third.stdout.await(t, "got again\n")
		third.hangup()
		n.sameDescriptors(before)
	})
}

// TestAttachDetach: the end of a client's input is the end of its session, not of the container's input.
func TestAttachDetach(t *testing.T) {
	n := newNode(t, Config{})
	n.run("one", box{script: ticking, stdin: true})
	c := n.greeted(t, "one", streamsAsked{stdin: true, stdout: true}, dialSPDY)
	c.stdin.Close()
	if code, err := c.exit(t); code != 0 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	c = n.greeted(t, "one", streamsAsked{stdin: true, stdout: true}, dialSPDY)
	if strings.Contains(c.stdout.String(), "end") {
		t.Error("the container's input has ended")
	}
}

// TestAttachStdinOnce: the container's input ends with that of the first client, who sees what it
// does then. Later ones have none.
func TestAttachStdinOnce(t *testing.T) {
	n := newNode(t, Config{})
	n.run("one", box{script: `while :; do echo tick; if read -t 1 word; then echo "got $word"; else echo end; sleep 0.02; fi; done`, stdin: true, stdinOnce: true})
	asked := streamsAsked{stdin: true, stdout: true}
	c := n.greeted(t, "one", asked, dialSPDY)
	if _, err := io.WriteString(c.stdin, "hello\n"); err != nil {
		t.Fatal(err)
	}
	c.stdin.Close()
	c.stdout.await(t, "got hello\n")
	c.stdout.await(t, strings.Repeat("end\ntick\n", 10)) // it reads an end at once
	late := n.greeted(t, "one", asked, dialSPDY)
	if _, err := io.WriteString(late.stdin, "late\n"); err != nil {
		t.Fatal(err)
	}
	late.stdin.Close()
	late.stdout.await(t, strings.Repeat("end\ntick\n", 10))
	if strings.Contains(late.stdout.String(), "got") {
		t.Errorf("it got more input: %q", late.stdout)
	}
}

// TestAttachStdinOnceGone: a client that goes without a word ends the input too.
func TestAttachStdinOnceGone(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.run("one", box{script: ticking, stdin: true, stdinOnce: true})
		watcher := n.greeted(t, "one", streamsAsked{stdout: true}, dial) // whose end is nothing to the container
		c := n.greeted(t, "one", streamsAsked{stdin: true, stdout: true}, dial)
		if strings.Contains(watcher.stdout.String(), "end") {
			t.Error("the input has ended before")
		}
		c.hangup()
		watcher.stdout.await(t, "end\n")
	})
}

func TestAttachTerminal(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.run("one", box{script: `trap "stty size" WINCH; while :; do read -t 1 word && echo "got $word"; done`, terminal: true, stdin: true})
		before := n.descriptors()
		asked := streamsAsked{stdin: true, stdout: true, tty: true}
		c := n.attach(t, "one", asked, dial)
		n.eventually("the terminal has the size", func() bool {
			if err := c.resize(100, 30); err != nil {
				t.Fatal(err)
			}
			if err := c.resize(101, 30); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			return strings.Contains(c.stdout.String(), "30 101\r\n")
		})
		if _, err := io.WriteString(c.stdin, "hello\n"); err != nil {
			t.Fatal(err)
		}
		c.stdout.await(t, "got hello\r\n")
		c.hangup()
		n.sameDescriptors(before)
		c = n.attach(t, "one", asked, dial) // the terminal is still there
		if _, err := io.WriteString(c.stdin, "again\n"); err != nil {
			t.Fatal(err)
		}
		c.stdout.await(t, "got again\r\n")
	})
}

// TestAttachEnd: the session ends with the container's output.
func TestAttachEnd(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		box := n.run("one", box{script: ticking})
		c := n.greeted(t, "one", streamsAsked{stdout: true, stderr: true}, dial)
		if err := box.Task.Kill(unix.SIGKILL, true); err != nil {
			t.Fatal(err)
		}
		if code, err := c.exit(t); code != 0 || err != nil {
			t.Errorf("%d, %v", code, err)
		}
	})
}

// TestAttachServerCloses: clients learn that their sessions are over, and not that something was wrong. The container goes on.
func TestAttachServerCloses(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		box := n.run("one", box{script: ticking, stdin: true})
		c := n.greeted(t, "one", streamsAsked{stdin: true, stdout: true, stderr: true}, dial)
		other := n.greeted(t, "one", streamsAsked{stdout: true}, dial)
		n.farewell = 2 * testnode.Patience // not to be waited for
		began := time.Now()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > testnode.Patience {
			t.Errorf("it took %v", took)
		}
		for _, client := range []*client{c, other} {
			if code, err := client.exit(t); code != 0 || err != nil {
				t.Errorf("%d, %v", code, err)
			}
		}
		n.noGoroutines()
		if got := box.Task.Status().State; got != container.Running {
			t.Errorf("the container is %s", got)
		}
	})
}

// TestAttachQuietGone: a session with a container that prints nothing ends with its client.
func TestAttachQuietGone(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.idle("one")
		before := n.descriptors()
		c := n.attach(t, "one", streamsAsked{stdout: true, stderr: true}, dial)
		time.Sleep(50 * time.Millisecond)
		c.hangup()
		n.sameDescriptors(before)
	})
}

// TestAttachWithoutInput: a container that reads nothing can be attached to by who would write.
func TestAttachWithoutInput(t *testing.T) {
	n := newNode(t, Config{})
	n.run("one", box{script: "while :; do echo tick; sleep 0.02; done"})
	c := n.greeted(t, "one", streamsAsked{stdin: true, stdout: true}, dialSPDY)
	if _, err := io.WriteString(c.stdin, strings.Repeat("x", 100000)); err != nil {
		t.Fatal(err)
	}
	c.stdin.Close()
	seen := len(c.stdout.String())
	n.eventually("it goes on", func() bool { return len(c.stdout.String()) > seen+50 })
}

// TestAttachInputGone: who attaches while a container ends and is cleared away sees its end, and no error.
func TestAttachInputGone(t *testing.T) {
	n := newNode(t, Config{})
	box := n.run("one", box{script: "while :; do echo tick; sleep 0.02; done", stdin: true})
	if err := os.Remove(box.Task.Stdio().Stdin); err != nil {
		t.Fatal(err)
	}
	c := n.greeted(t, "one", streamsAsked{stdin: true, stdout: true}, dialSPDY)
	if err := box.Task.Kill(unix.SIGKILL, true); err != nil {
		t.Fatal(err)
	}
	if code, err := c.exit(t); code != 0 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
}

// TestAttachInputUnread: a client that writes what nobody reads is still seen to go.
func TestAttachInputUnread(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{})
		n.run("one", box{script: `read word; exec <&-; while :; do echo "got $word"; sleep 0.05; done`, stdin: true})
		before := n.descriptors()
		c := n.attach(t, "one", streamsAsked{stdin: true, stdout: true}, dial)
		if _, err := io.WriteString(c.stdin, "hello\n"); err != nil {
			t.Fatal(err)
		}
		c.stdout.await(t, "got hello")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = io.Copy(c.stdin, io.LimitReader(zeros{}, 8<<20))
		}()
		select {
		case <-sent:
		case <-time.After(testnode.Patience):
			t.Error("the session takes no more input")
		}
		seen := len(c.stdout.String())
		n.eventually("it goes on", func() bool { return len(c.stdout.String()) > seen+50 })
		c.hangup()
		<-sent
		n.sameDescriptors(before)
	})
}
