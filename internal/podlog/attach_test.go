// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/testnode"
)

// client is somebody attached.
type client struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *client) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func awaitDone(t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(testnode.Patience):
		t.Fatal("the attachment does not end")
	}
}

func TestAttachGetsRawBytesFromNowOn(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	b.print(b.stdout, "before\nbegun ")
	testnode.Eventually(t, "it is read", func() bool { return waiting(t, b.stdout) == 0 })

	var out, errs, late client
	done, _ := b.Attach(&out, &errs)
	b.print(b.stdout, "$ ")
	testnode.Eventually(t, "the prompt, without a newline", func() bool { return out.String() == "$ " })
	b.print(b.stderr, "oops\r\n\x00")
	testnode.Eventually(t, "standard error", func() bool { return errs.String() == "oops\r\n\x00" })
	lateDone, _ := b.Attach(nil, &late)
	b.print(b.stderr, "late")
	b.drain()
	awaitDone(t, done)
	awaitDone(t, lateDone)
	if out.String() != "$ " || errs.String() != "oops\r\n\x00late" || late.String() != "late" {
		t.Errorf("got %q, %q and %q", &out, &errs, &late)
	}
	entries := readLog(t, b.cfg.Path)
	equal(t, "stdout", lines(entries, "stdout"), []string{"before", `begun $ \`})
	equal(t, "stderr", lines(entries, "stderr"), []string{"oops\r", "\x00late\\"})

	done, stop := b.Attach(&out, nil)
	awaitDone(t, done) // there is nothing to attach to any more
	stop()
}

func TestAttachToNothingWaitsForEnd(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	done, _ := b.Attach(nil, nil)
	b.print(b.stdout, "text\n")
	b.stdout.Close()
	select {
	case <-done:
		t.Fatal("it ended before the container")
	case <-time.After(50 * time.Millisecond):
	}
	b.drain()
	awaitDone(t, done)
}

func TestAttachStop(t *testing.T) {
	h := newHub(t, Options{})
	b := openBox(t, h, newConfig(t))
	var out client
	done, stop := b.Attach(&out, nil)
	b.print(b.stdout, "one\n")
	testnode.Eventually(t, "the first line", func() bool { return out.String() == "one\n" })
	testnode.Eventually(t, "one goroutine more, for who is attached", func() bool { return goroutines(t) == defaultWorkers+1 })
	stop()
	stop()
	awaitDone(t, done)
	b.print(b.stdout, "two\n")
	b.drain()
	if out.String() != "one\n" {
		t.Errorf("after stop it got %q", &out)
	}
	testnode.Eventually(t, "the sender ends", func() bool { return goroutines(t) == defaultWorkers })
}

func TestAttachEverythingArrives(t *testing.T) {
	b := openBox(t, newHub(t, Options{Patience: testnode.Patience}), newConfig(t))
	var out [3]client
	var done [3]<-chan struct{}
	for i := range out {
		done[i], _ = b.Attach(&out[i], nil)
	}
	cmd := exec.Command("/bin/sh", "-c", "seq 1 300000")
	cmd.Stdout = b.stdout
	want, err := exec.Command("seq", "1", "300000").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	b.drain()
	for i := range out {
		awaitDone(t, done[i])
		if out[i].String() != string(want) {
			t.Errorf("client %d got %d bytes, want %d", i, len(out[i].String()), len(want))
		}
	}
	if got := lines(readLog(t, b.cfg.Path), "stdout"); len(got) != 300_000 {
		t.Errorf("the log has %d lines", len(got))
	}
}

// slowClient takes its time, but takes everything.
type slowClient struct {
	client
	pause time.Duration
}

func (c *slowClient) Write(p []byte) (int, error) {
	time.Sleep(c.pause)
	return c.client.Write(p)
}

func TestAttachSlowClientHoldsUpAndGetsAll(t *testing.T) {
	b := openBox(t, newHub(t, Options{Patience: testnode.Patience}), newConfig(t))
	out := &slowClient{pause: 2 * time.Millisecond}
	done, _ := b.Attach(out, nil)
	text := strings.Repeat("much text\n", 500_000) // five times the buffer
	b.print(b.stdout, text)
	b.drain()
	awaitDone(t, done)
	if out.String() != text {
		t.Errorf("got %d bytes of %d", len(out.String()), len(text))
	}
}

// stuckClient never returns from Write until it is released.
type stuckClient struct {
	release chan struct{}
	reason  chan error
}

func (c *stuckClient) Write(p []byte) (int, error) {
	<-c.release
	return 0, io.ErrClosedPipe
}

func (c *stuckClient) CloseWithError(err error) error {
	c.reason <- err
	return nil
}

func TestAttachStuckClientIsLetGo(t *testing.T) {
	for _, wait := range []time.Duration{-1, 100 * time.Millisecond} {
		said, logger := newJournalText()
		b := openBox(t, newHub(t, Options{Patience: wait, Log: logger}), newConfig(t))
		stuck := &stuckClient{release: make(chan struct{}), reason: make(chan error, 1)}
		defer close(stuck.release)
		var other client
		otherDone, _ := b.Attach(nil, &other)
		done, _ := b.Attach(stuck, nil)
		start := time.Now()
		text := strings.Repeat("much text\n", 500_000)
		b.print(b.stdout, text) // comes to an end
		// Nobody ever reads for the one that is stuck: without an end to the wait for it the print would not come to one.
		if took := time.Since(start); took > testnode.Patience {
			t.Errorf("the container was held up for %v", took)
		}
		awaitDone(t, done)
		if err := <-stuck.reason; !errdefs.IsResourceExhausted(err) {
			t.Errorf("the reason is %v", err)
		}
		b.print(b.stderr, "fine\n")
		b.drain()
		awaitDone(t, otherDone)
		if other.String() != "fine\n" {
			t.Errorf("the other client got %q", &other)
		}
		if got := lines(readLog(t, b.cfg.Path), "stdout"); len(got) != 500_000 {
			t.Errorf("the log has %d lines", len(got))
		}
		if said.count("let go") != 1 {
			t.Error("nothing is logged of it")
		}
	}
}

func TestAttachFailingClientEnds(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	read, write := io.Pipe()
	var errs client
	done, _ := b.Attach(write, &errs)
	read.CloseWithError(errors.New("gone"))
	b.print(b.stdout, "text\n")
	awaitDone(t, done)
	b.print(b.stderr, "more\n")
	b.drain()
	if errs.String() != "" {
		t.Errorf("after the end standard error got %q", &errs)
	}
}

func TestCloseEndsAttachments(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	for _, hub := range []bool{false, true} {
		h := newHub(t, Options{})
		b := openBox(t, h, newConfig(t))
		var out client
		done, _ := b.Attach(&out, nil)
		b.print(b.stdout, "last\n")
		if hub {
			testnode.Eventually(t, "it is read", func() bool { return waiting(t, b.stdout) == 0 })
			h.Close()
		} else {
			b.Close()
		}
		awaitDone(t, done)
		if out.String() != "last\n" {
			t.Errorf("got %q", &out)
		}
	}
}

func TestAttachAndStopUnderLoad(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	cmd := exec.Command("yes", "busy")
	cmd.Stdout = b.stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 {
				done, stop := b.Attach(&client{}, io.Discard)
				time.Sleep(200 * time.Microsecond)
				stop()
				<-done
			}
		})
	}
	clients.Wait()
	cmd.Process.Kill()
	cmd.Wait()
	b.drain()
	for i, line := range lines(readLog(t, b.cfg.Path), "stdout") {
		if line != "busy" && !strings.HasSuffix(line, `\`) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}
