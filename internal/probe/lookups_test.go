// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// hungMount mounts a file system in user space whose server does not answer, and returns what makes it fail.
func hungMount(t *testing.T, dir string) (release func()) {
	t.Helper()
	testnode.NeedRoot(t)
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		testnode.Unavailable(t, "no FUSE: "+err.Error())
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", server.Fd())
	if err := unix.Mount("hung", dir, "fuse", 0, options); err != nil {
		server.Close()
		testnode.Unavailable(t, "no FUSE: "+err.Error())
	}
	release = sync.OnceFunc(func() { server.Close() }) // then the kernel answers in its place: ENOTCONN
	t.Cleanup(func() {
		release()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return release
}

// TestFileHangs: a file system that does not answer costs its container one look, which nobody waits for, and others nothing.
func TestFileHangs(t *testing.T) {
	p := newRoot(t, map[string]time.Duration{"in": 0, "hung/below": 0})
	nothingLeft(t)
	release := hungMount(t, filepath.Join(p.root, "hung"))
	prober := &Prober{}
	args := []string{Name, "file", "/hung/x", "--validity", "1s"}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // enough to begin a look
	defer cancel()
	if done, err := prober.Run(ctx, p, args); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%+v, %v", done, err)
	}
	if took := time.Since(begin); took > testnode.Patience { // it hangs until it is released
		t.Errorf("the time was over after %v", took)
	}
	for deadline := time.Now().Add(testnode.Patience); hanging() == 0; time.Sleep(time.Millisecond) { // its goroutine may begin late
		if time.Now().After(deadline) {
			t.Fatal("no look hangs")
		}
	}
	for range 100 { // the first waits until it is taken for hung
		code, output := askWith(t, t.Context(), prober, p, "file", "/in", "--validity", "1h")
		if code != Failure || !strings.Contains(output, "file /in: not looked at: a look at /hung/x has not returned for") {
			t.Fatalf("exit code %d, %q", code, output)
		}
	}
	if n := hanging(); n != 1 {
		t.Errorf("%d goroutines hang, want 1", n)
	}
	other := newRoot(t, map[string]time.Duration{"in": 0})
	other.id = "another"
	if code, output := askWith(t, t.Context(), prober, other, "file", "/in", "--validity", "1h"); code != Success {
		t.Errorf("another container: exit code %d, %q", code, output)
	}
	release()
	deadline := time.Now().Add(testnode.Patience)
	for code := Failure; code != Success && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		code, _ = askWith(t, t.Context(), prober, p, "file", "/in", "--validity", "1h")
	}
	code, output := askWith(t, t.Context(), prober, p, "file", "/hung/x", "--validity", "1h")
	if code != Failure || !strings.Contains(output, "endpoint is not connected") {
		t.Errorf("after its server has ended: exit code %d, %q", code, output)
	}
	if prober.lookups.hung != 0 || len(prober.lookups.busy) != 0 {
		t.Errorf("%d hang, %d are busy", prober.lookups.hung, len(prober.lookups.busy))
	}
}

func hanging() (n int) {
	for _, g := range goroutines() {
		if strings.Contains(g, "file.look") {
			n++
		}
	}
	return n
}

// TestLookupsOneAtATime: looks at one target wait for each other, and for a hung one only until their time is over.
func TestLookupsOneAtATime(t *testing.T) {
	nothingLeft(t)
	var l lookups
	hang := make(chan struct{})
	now := make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := l.do(t.Context(), "a", "/x", func() (unix.Stat_t, error) { close(now); <-hang; return unix.Stat_t{}, nil })
		first <- err
	}()
	<-now
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.do(ctx, "a", "/y", func() (unix.Stat_t, error) { t.Error("looked"); return unix.Stat_t{}, nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second look: %v", err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := l.do(t.Context(), "a", "/z", func() (unix.Stat_t, error) { return unix.Stat_t{}, unix.ENOENT })
		second <- err
	}()
	close(hang)
	if err := <-first; err != nil {
		t.Errorf("the first look: %v", err)
	}
	if err := <-second; !errors.Is(err, unix.ENOENT) {
		t.Errorf("the one that waited: %v", err)
	}
}

// TestLookupsBound: no more hang on the node than the bound says.
func TestLookupsBound(t *testing.T) {
	nothingLeft(t)
	var l lookups
	hang := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var left sync.WaitGroup
	for i := range maxLookups {
		left.Go(func() {
			_, err := l.do(ctx, fmt.Sprint(i), "/x", func() (unix.Stat_t, error) { <-hang; return unix.Stat_t{}, nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	busy := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.busy) }
	for deadline := time.Now().Add(testnode.Patience); busy() < maxLookups && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	waiter := make(chan error, 1)
	go func() {
		_, err := l.do(t.Context(), "waits", "/x", func() (unix.Stat_t, error) { return unix.Stat_t{}, nil })
		waiter <- err
	}()
	waiting := func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.freed != nil }
	for deadline := time.Now().Add(testnode.Patience); !waiting() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	left.Wait()
	_, err := l.do(t.Context(), "late", "/x", func() (unix.Stat_t, error) { t.Error("looked"); return unix.Stat_t{}, nil })
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d file systems of this node hang", maxLookups)) {
		t.Errorf("one more: %v", err)
	}
	close(hang)
	if err := <-waiter; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
}

// TestLookupsCanceled: a look that nobody waits for any more, and that returns, is not taken for one that hangs.
func TestLookupsCanceled(t *testing.T) {
	p := newRoot(t, map[string]time.Duration{"in": 0})
	nothingLeft(t)
	prober := &Prober{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%3 == 0 {
					go cancel()
				}
				done, err := prober.Run(ctx, p, []string{Name, "file", "/in", "--validity", "1h"})
				if err != nil && !errors.Is(err, context.Canceled) || err == nil && done.ExitCode != Success {
					t.Errorf("%+v, %v", done, err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		prober.lookups.mu.Lock()
		n := len(prober.lookups.busy) + prober.lookups.hung
		prober.lookups.mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Error("looks are left")
}
