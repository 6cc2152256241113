// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestFailedDelIsTriedUntilItSucceeds(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	n.behave("DEL", "fail 999 table is locked")
	if err := n.Teardown(context.Background(), "abc", a.NetNS); !errdefs.IsInternal(err) || !strings.Contains(err.Error(), "table is locked") {
		t.Errorf("teardown: %v", err)
	}
	if got := n.Metrics().Waiting; got != 1 {
		t.Errorf("%d sandboxes are waiting", got)
	}
	testnode.Eventually(t, "more tries", func() bool { return len(n.calls("DEL")) >= 4 })
	n.behave("DEL", "")
	n.nothingLeft()
	calls := n.calls("DEL")
	if calls[0].NetNS != a.NetNS {
		t.Errorf("first DEL in %q", calls[0].NetNS)
	}
	for i, c := range calls[1:] {
		if c.NetNS != "" {
			t.Errorf("try %d used a path that may lead elsewhere by then: %q", i+1, c.NetNS)
		}
		if c.config(t)["prevResult"] == nil {
			t.Errorf("try %d had no previous result", i+1)
		}
	}
	testnode.Eventually(t, "nobody waits", func() bool { return n.Metrics().Waiting == 0 })
	if m := n.Metrics(); m.Retries != uint64(len(calls)-1) {
		t.Errorf("%d retries counted, %d made", m.Retries, len(calls)-1)
	}
}

func TestRetriesSlowDown(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	began := time.Now()
	n.behave("DEL", "fail 999 no")
	if err := n.Teardown(context.Background(), "abc", a.NetNS); err == nil {
		t.Fatal("teardown succeeded")
	}
	testnode.Eventually(t, "six tries", func() bool { return n.Metrics().Retries >= 6 })
	// 20 ms doubled each time: after 20, 60, 140, 300, 620, 1260 ms, a quarter more or less, and what the tries take.
	if took := time.Since(began); took < 1260*time.Millisecond*3/4 {
		t.Errorf("six tries in %v", took)
	}
	n.behave("DEL", "")
	n.nothingLeft()
}

func TestRetriesGoOnAfterRestart(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	n.behave("DEL", "fail 999 no")
	if err := n.Teardown(context.Background(), "abc", a.NetNS); err == nil {
		t.Fatal("teardown succeeded")
	}
	n.must(n.Close())
	n.must(os.RemoveAll(n.config.ConfDir)) // the configuration is in the record
	before := len(n.calls("DEL"))
	n.behave("DEL", "")
	n.start()
	n.nothingLeft()
	calls := n.calls("DEL")
	if len(calls) != before+1 || calls[before].config(t)["prevResult"] == nil || calls[before].config(t)["name"] != "blue" {
		t.Errorf("DELs after the restart: %+v", calls[before:])
	}
}

func TestTeardownDuringRetries(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	n.behave("DEL", "fail 999 no")
	for range 5 {
		if err := n.Teardown(context.Background(), "abc", a.NetNS); err == nil {
			t.Fatal("teardown succeeded")
		}
	}
	n.behave("DEL", "")
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if got := n.records(); len(got) != 0 {
		t.Errorf("records %v", got)
	}
	if got := n.Metrics().Waiting; got != 0 {
		t.Errorf("%d sandboxes are waiting", got)
	}
}

func TestDelHasTheConfigurationOfAdd(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", `,"colour":"navy"`))
	a, _ := n.setup("abc")
	n.write("10-a.conflist", n.list("1.0.0", "red", `,"colour":"wine"`))
	n.restart()
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if c := n.only("DEL").config(t); c["name"] != "blue" || c["colour"] != "navy" || c["prevResult"] == nil {
		t.Errorf("DEL got %v", c)
	}
}

func TestOneFailingNetworkKeepsNoOther(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.MaxConfNum = 2 })
	other := filepath.Join(n.dir, "control2")
	n.must(os.Mkdir(other, 0o755))
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.write("20-b.conflist", strings.Replace(n.list("1.0.0", "green", ""), n.control, other, 1))
	n.must(os.WriteFile(filepath.Join(other, "DEL"), []byte("fail 999 no"), 0o644))
	a, _ := n.setup("abc")
	if err := n.Teardown(context.Background(), "abc", a.NetNS); err == nil || !strings.Contains(err.Error(), "green") {
		t.Errorf("teardown: %v", err)
	}
	testnode.Eventually(t, "more tries", func() bool { return n.Metrics().Retries > 2 })
	n.only("DEL") // of blue
	n.must(os.Remove(filepath.Join(other, "DEL")))
	n.nothingLeft()
}

func TestTeardownThatHangs(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	n.behave("DEL", "fork")
	if err := n.Teardown(cancelWhen(n.forked), "abc", a.NetNS); !errors.Is(err, context.Canceled) {
		t.Errorf("teardown: %v", err)
	}
	testnode.Eventually(t, "a try hangs in the background", func() bool { return len(n.calls("DEL")) == 2 })
	began := time.Now()
	n.must(n.Close())
	if took := time.Since(began); took > testnode.Patience { // the plugin would be killed after three minutes
		t.Errorf("close took %v", took)
	}
	n.behave("DEL", "")
	n.start()
	n.nothingLeft()
}

func TestCloseKeepsWhatIsLeft(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.setup("abc")
	n.restart()
	if got := len(n.records()); got != 1 {
		t.Errorf("%d records", got)
	}
	n.must(n.Teardown(context.Background(), "abc", ""))
	n.only("DEL")
}

func TestKeep(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	for _, id := range []string{"lost", "kept"} {
		n.setup(id)
	}
	n.restart()
	n.setup("new") // before Keep, with a list that was made earlier
	n.Keep(context.Background(), []string{"kept"})
	testnode.Eventually(t, "the lost one is detached", func() bool { return len(n.records()) == 2 })
	if del := n.only("DEL"); del.ID != "lost" || del.NetNS != "" || del.config(t)["prevResult"] == nil {
		t.Errorf("DEL got %+v", del)
	}
	for _, id := range []string{"kept", "new"} {
		n.must(n.Teardown(context.Background(), id, ""))
	}
	n.nothingLeft()
}

func TestKeepAfterReboot(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.MaxConfNum = 0 })
	n.write("10-a.conflist", n.list("1.0.0", "blue", `,"capabilities":{"dns":true}`))
	n.write("20-b.conflist", n.list("1.0.0", "green", ""))
	n.setup("abc")
	n.must(n.Close())
	n.must(os.RemoveAll(n.config.StateDir)) // was on tmpfs
	n.must(os.RemoveAll(n.config.ConfDir))
	n.must(os.WriteFile(filepath.Join(n.config.CacheDir, "results", "blue-torn-eth0"), []byte(`{"kind":"cniCa`), 0o600))
	n.must(os.WriteFile(filepath.Join(n.config.CacheDir, "results", "blue-odd-eth0"),
		[]byte(`{"kind":"cniCacheV1","containerId":"odd","ifName":"eth0","networkName":"blue","config":"AAAA"}`), 0o600))
	n.start()
	n.Keep(context.Background(), nil)
	testnode.Eventually(t, "both networks are detached", func() bool { return len(n.calls("DEL")) == 2 && len(n.records()) == 0 })
	adds := map[string]call{}
	for _, c := range n.calls("ADD") {
		adds[c.Interface] = c
	}
	for _, del := range n.calls("DEL") {
		add := adds[del.Interface]
		if del.NetNS != "" || del.Args != add.Args || del.config(t)["prevResult"] == nil || del.config(t)["name"] != add.config(t)["name"] {
			t.Errorf("DEL got %+v %s", del, del.Config)
		}
		if got, want := fmt.Sprint(del.config(t)["runtimeConfig"]), fmt.Sprint(add.config(t)["runtimeConfig"]); got != want {
			t.Errorf("%s: capabilities %s, expected %s", del.Interface, got, want)
		}
	}
}

// A daemon that died at any moment leaves any prefix of its writes.
func TestStartWithWhatACrashLeft(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.setup("whole")
	n.must(n.Close())
	dir := filepath.Join(n.config.StateDir, "attachments")
	whole, err := os.ReadFile(filepath.Join(dir, "whole.json"))
	n.must(err)
	renamed := strings.Replace(string(whole), `"whole"`, `"other"`, 1)
	for name, text := range map[string]string{
		"half.json": string(whole[:len(whole)/2]), "empty.json": "", "half.new": "x", "mark.detach": "", "liar.json": renamed,
		"whole.detach": "", "..json": "{}",
	} {
		n.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	n.start()
	n.Keep(context.Background(), []string{"whole"})
	n.nothingLeft()
	if del := n.only("DEL"); del.ID != "whole" {
		t.Errorf("DEL of %s", del.ID)
	}
}

// A record that cannot be read is made anew of what libcni's cache has of the sandbox.
func TestRecordIsSpoiled(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", `,"capabilities":{"dns":true}`))
	a, _ := n.setup("abc")
	n.must(n.Close())
	n.must(os.WriteFile(filepath.Join(n.config.StateDir, "attachments", "abc.json"), []byte(`{"version":1,"id":`), 0o600))
	n.start()
	n.Keep(context.Background(), []string{"abc"})
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if add, del := n.only("ADD"), n.only("DEL"); del.Args != add.Args || del.NetNS != a.NetNS || del.config(t)["prevResult"] == nil {
		t.Errorf("DEL got %+v", del)
	}
	n.nothingLeft()
}

// Records of a release that is not known are left alone, and so is all else.
func TestRecordOfAnotherRelease(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.setup("abc")
	n.must(n.Close())
	dir := filepath.Join(n.config.StateDir, "attachments")
	path := filepath.Join(dir, "abc.json")
	text, err := os.ReadFile(path)
	n.must(err)
	n.must(network.CheckRecords(n.config.StateDir))
	n.must(os.WriteFile(path, []byte(`{"networks":7,"version":2}`), 0o600))
	n.must(os.WriteFile(filepath.Join(dir, "mark.detach"), nil, 0o600))
	for what, err := range map[string]error{"check": network.CheckRecords(n.config.StateDir), "start": second(network.New(n.config))} {
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(fmt.Sprint(err), path+" has version 2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := len(names(t, dir)); got != 2 {
		t.Errorf("%d files are left", got)
	}
	// The first release wrote none.
	n.must(os.WriteFile(path, []byte(strings.Replace(string(text), `"version":1,`, "", 1)), 0o600))
	n.start()
	n.must(n.Teardown(context.Background(), "abc", ""))
	n.only("DEL")
}

func second[T any](_ T, err error) error { return err }

func TestCheck(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	n.must(os.RemoveAll(n.config.ConfDir))
	n.restart()
	n.must(n.Check(context.Background(), "abc", a.NetNS))
	if c := n.only("CHECK"); c.NetNS != a.NetNS || c.config(t)["prevResult"] == nil {
		t.Errorf("CHECK got %+v", c)
	}
	n.behave("CHECK", "fail 999 eth0 is gone")
	if err := n.Check(context.Background(), "abc", a.NetNS); !errdefs.IsInternal(err) || !strings.Contains(err.Error(), "eth0 is gone") {
		t.Errorf("check: %v", err)
	}
	if err := n.Check(context.Background(), "unknown", a.NetNS); !errdefs.IsNotFound(err) {
		t.Errorf("check of an unknown sandbox: %v", err)
	}
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	n.write("10-a.conflist", n.list("0.3.1", "blue", ""))
	a, _ = n.setup("old")
	if err := n.Check(context.Background(), "old", a.NetNS); !errdefs.IsNotImplemented(err) {
		t.Errorf("check in CNI 0.3.1: %v", err)
	}
	n.must(n.Teardown(context.Background(), "old", a.NetNS))
}

func TestStatus(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	n.behave("STATUS", "fail 50 no route to the cluster")
	err := n.Ready()
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "no route to the cluster") {
		t.Errorf("ready: %v", err)
	}
	time.Sleep(150 * time.Millisecond) // the file is not new any more
	n.behave("STATUS", "")
	n.write("20-b.conflist", n.list("1.1.0", "green", "")) // asks anew
	time.Sleep(150 * time.Millisecond)
	n.must(n.Ready())
	before := len(n.calls("STATUS"))
	for range 100 {
		n.must(n.Ready())
	}
	if got := len(n.calls("STATUS")); got != before {
		t.Errorf("a hundred questions started %d plugins", got-before)
	}
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	before = len(n.calls("STATUS"))
	n.must(n.Ready())
	if got := len(n.calls("STATUS")); got != before {
		t.Error("STATUS was run for CNI 1.0.0")
	}
}

func TestStatusThatHangs(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	n.behave("STATUS", "fork")
	began := time.Now()
	if err := n.Ready(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready: %v", err)
	}
	if took := time.Since(began); took > testnode.Patience { // the plugin would end after ten minutes
		t.Errorf("ready took %v", took)
	}
}

func TestGarbageCollection(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	for _, id := range []string{"lost", "kept"} {
		n.setup(id)
	}
	n.behave("DEL", "fail 999 no")
	other := filepath.Join(n.config.OtherCaches[0], "results")
	n.must(os.MkdirAll(other, 0o755))
	n.must(os.WriteFile(filepath.Join(other, "blue-theirs-eth7"),
		[]byte(`{"kind":"cniCacheV1","containerId":"theirs","ifName":"eth7","networkName":"blue"}`), 0o600))
	n.restart()
	n.Keep(context.Background(), []string{"kept"})
	testnode.Eventually(t, "GC", func() bool { return n.Metrics().GC.Count == 1 })
	c := n.only("GC").config(t)
	const want = `[{"containerID":"kept","ifname":"eth0"},{"containerID":"theirs","ifname":"eth7"}]`
	if !equalJSON(t, c["cni.dev/valid-attachments"], want) || !equalJSON(t, c["cni.dev/attachments"], want) {
		t.Errorf("GC got %v", c)
	}
	n.behave("DEL", "")
	n.must(n.Teardown(context.Background(), "kept", ""))
	n.nothingLeft()
}

func TestGarbageCollectionIsRefused(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.MaxConfNum = 0 })
	n.write("10-a.conflist", n.list("1.0.0", "old", ""))
	n.write("20-b.conflist", strings.Replace(n.list("1.1.0", "shared", ""), "{", `{"disableGC":true,`, 1))
	n.write("30-c.conflist", n.list("1.1.0", "blue", ""))
	n.Keep(context.Background(), nil)
	testnode.Eventually(t, "GC", func() bool { return n.Metrics().GC.Count == 1 })
	if c := n.only("GC").config(t); c["name"] != "blue" || !equalJSON(t, c["cni.dev/valid-attachments"], "[]") {
		t.Errorf("GC got %v", c)
	}
}

// GC runs alone: an ADD that has begun is finished before, and none begins meanwhile.
func TestGarbageCollectionRunsAlone(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	n.behave("GC", "hang")
	n.Keep(context.Background(), nil)
	testnode.Eventually(t, "GC has begun", func() bool { return len(n.calls("GC")) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := n.Setup(ctx, n.attachment("abc")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("setup during GC: %v", err)
	}
	if got := n.calls("ADD"); len(got) != 0 {
		t.Errorf("ADD during GC: %v", got)
	}
	began := time.Now()
	n.must(n.Close())                                     // ends it
	if took := time.Since(began); took > 20*time.Second { // garbageTime would end it after 30
		t.Errorf("close took %v", took)
	}
	n.start()
}

// setupHeldUp begins to set up a network, and returns in the middle of its ADD, which goes on when it is to behave otherwise.
func (n *node) setupHeldUp(a *network.Attachment) *sync.WaitGroup {
	n.t.Helper()
	n.behave("ADD", "wait")
	wg := new(sync.WaitGroup)
	wg.Go(func() {
		if _, err := n.Setup(context.Background(), a); err != nil {
			n.t.Error(err)
		}
	})
	testnode.Eventually(n.t, "ADD has begun", func() bool { return len(n.calls("ADD")) == 1 })
	return wg
}

// GC that pods have kept from beginning is made up for: it would be due again with the thousandth pod only.
func TestGarbageCollectionIsMadeUpFor(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.RetryAfter = time.Millisecond })
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	a := n.attachment("abc")
	wg := n.setupHeldUp(a)
	n.Keep(context.Background(), nil)
	testnode.Eventually(t, "GC has given up", func() bool { return n.Metrics().GC.Errors > 0 })
	if got := n.calls("GC"); len(got) != 0 {
		t.Errorf("GC during ADD: %v", got)
	}
	n.behave("ADD", "")
	wg.Wait()
	testnode.Eventually(t, "GC", func() bool { return len(n.calls("GC")) == 1 })
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
}

func TestHungPluginsDoNotStopOthers(t *testing.T) {
	n := newNode(t, func(c *network.Config) {
		c.Concurrency = 2
		c.Handlers = map[string]network.Handler{"stuck": {ConfDir: c.StateDir + "-stuck.d"}}
	})
	stuck := filepath.Join(n.dir, "stuck")
	n.must(os.Mkdir(stuck, 0o755))
	n.must(os.WriteFile(filepath.Join(stuck, "ADD"), []byte("hang"), 0o644))
	standard := n.config.ConfDir
	n.config.ConfDir = n.config.Handlers["stuck"].ConfDir
	n.write("10-a.conflist", strings.Replace(n.list("1.0.0", "stuck", ""), n.control, stuck, 1))
	n.config.ConfDir = standard
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i := range 4 {
		a := n.attachment(fmt.Sprintf("stuck%d", i))
		a.Handler = "stuck"
		wg.Go(func() { n.Setup(ctx, a) })
	}
	time.Sleep(50 * time.Millisecond) // most often they hang by now
	began := time.Now()
	a, _ := n.setup("abc")
	if took := time.Since(began); took > testnode.Patience { // they would be killed after three minutes
		t.Errorf("setup took %v behind plugins that hang", took)
	}
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
}

func TestManyAtOnce(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.Concurrency = 4 })
	n.write("10-a.conflist", n.list("1.1.0", "blue", ""))
	n.Keep(context.Background(), nil)
	var wg sync.WaitGroup
	for i := range 40 {
		a := n.attachment(fmt.Sprintf("pod%d", i))
		wg.Go(func() {
			if _, err := n.Setup(context.Background(), a); err != nil {
				t.Error(err)
			}
			var again sync.WaitGroup
			for range 3 { // at the same time, as a kubelet that lost its patience does
				again.Go(func() {
					if err := n.Teardown(context.Background(), a.ID, a.NetNS); err != nil {
						t.Error(err)
					}
				})
			}
			again.Wait()
		})
	}
	wg.Wait()
	n.nothingLeft()
	if adds, dels := len(n.calls("ADD")), len(n.calls("DEL")); adds != 40 || dels != 40 {
		t.Errorf("%d ADDs and %d DELs for 40 pods", adds, dels)
	}
}

// A kubelet that gave up on RunPodSandbox stops the sandbox while its ADD still runs.
func TestTeardownDuringSetup(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a := n.attachment("abc")
	wg := n.setupHeldUp(a)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := n.Teardown(ctx, "abc", a.NetNS); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("teardown: %v", err)
	}
	n.behave("ADD", "")
	wg.Wait()
	n.nothingLeft()
	n.only("DEL")
}

func TestNoThreadsOrGoroutinesAreLeft(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	count := func() int { return len(names(t, "/proc/self/task")) }
	life := func(i int) {
		a, _ := n.setup(fmt.Sprintf("pod%d", i))
		n.must(n.Teardown(context.Background(), a.ID, a.NetNS))
	}
	life(0)
	goroutines, threads := runtime.NumGoroutine(), count()
	for i := range 30 {
		life(i + 1)
	}
	testnode.Eventually(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= goroutines })
	testnode.Eventually(t, "hardly more threads than before", func() bool { return count() <= threads+10 })
}

func TestRecordHasTheWholeConfiguration(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	a, _ := n.setup("abc")
	text, err := os.ReadFile(filepath.Join(n.config.StateDir, "attachments", "abc.json"))
	n.must(err)
	var r struct {
		ID       string
		Networks []struct {
			Config struct{ Plugins []struct{ Control string } }
		}
	}
	if err := json.Unmarshal(text, &r); err != nil || r.ID != "abc" || r.Networks[0].Config.Plugins[0].Control != n.control {
		t.Errorf("record %s: %v", text, err)
	}
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
}
