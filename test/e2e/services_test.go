// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestPlugins(t *testing.T) {
	d := StartDaemon(t)
	out := d.MustCtr("plugins", "ls")
	for _, want := range []string{
		"content", "bolt", "overlayfs", "native", "erofs", "btrfs", "devmapper", "blockfile", "walking", "scheduler", "nri", "transfer",
		"task", "shim", "streaming", "introspection", "leases", "healthcheck", "cgroups", "restart", "otlp", "opt",
	} {
		if !hasField(out, 1, want) {
			t.Errorf("no plugin %s", want)
		}
	}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == "error" {
			t.Errorf("a plugin failed: %s", line)
		}
	}
}

// hasField tells whether a line's nth word is the wanted one.
func hasField(text string, n int, want string) bool {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > n && fields[n] == want {
			return true
		}
	}
	return false
}

func TestNamespaces(t *testing.T) {
	d := StartDaemon(t)
	d.MustCtr("namespaces", "create", "other", "colour=green")
	wantAll(t, d.MustCtr("namespaces", "ls"), "other", "colour=green")
	d.MustCtr("namespaces", "label", "other", "colour=blue")
	wantAll(t, d.MustCtr("namespaces", "ls"), "colour=blue")
	ref := d.ImportBusybox()
	if out := d.MustCtr("--namespace", "other", "images", "ls", "-q"); strings.Contains(out, ref) {
		t.Errorf("an image of another namespace is seen: %q", out)
	}
	if _, err := d.Ctr("namespaces", "rm", d.Namespace); err == nil || !strings.Contains(err.Error(), "must be empty") {
		t.Errorf("rm of a namespace with an image: %v, want not empty", err)
	}
	d.MustCtr("namespaces", "rm", "other")
}

func TestContent(t *testing.T) {
	d := StartDaemon(t)
	const digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
	// ctr takes no lease and no label for what it ingests, so the garbage
	// collector may be faster than the next command.
	err := content.WriteBlob(d.Context(), d.Client().ContentStore(), "ref", strings.NewReader("hello"),
		ocispec.Descriptor{Digest: digest, Size: 5}, content.WithLabels(map[string]string{"containerd.io/gc.root": "test"}))
	if err != nil {
		t.Fatal(err)
	}
	if out := d.MustCtr("content", "get", digest); out != "hello" {
		t.Errorf("content get: %q", out)
	}
	wantAll(t, d.MustCtr("content", "ls"), digest)
	d.MustCtr("content", "rm", digest)
	if _, err := d.CtrInput("other", "content", "ingest", "--expected-digest", digest, "ref2"); err == nil {
		t.Error("content with another digest was taken")
	}
}

func TestLeases(t *testing.T) {
	d := StartDaemon(t)
	id := strings.TrimSpace(d.MustCtr("leases", "create", "--id", "mine", "reason=test"))
	if id != "mine" {
		t.Errorf("lease id %q", id)
	}
	wantAll(t, d.MustCtr("leases", "ls"), "mine", "reason=test")
	d.MustCtr("leases", "rm", "--sync", "mine")
	if out := d.MustCtr("leases", "ls", "-q"); strings.Contains(out, "mine") {
		t.Errorf("the lease is still there: %q", out)
	}
}

func TestSnapshots(t *testing.T) {
	d := StartDaemon(t)
	d.ImportBusybox()
	top := topSnapshot(t, d)
	d.MustCtr("snapshots", "prepare", "work", top)
	wantAll(t, d.MustCtr("snapshots", "ls"), "work", "Active")
	wantAll(t, d.MustCtr("snapshots", "mounts", "/nowhere", "work"), "overlay")
	d.MustCtr("snapshots", "commit", "done", "work")
	wantAll(t, d.MustCtr("snapshots", "info", "done"), "Committed", top)
	wantAll(t, d.MustCtr("snapshots", "usage", "done"), "done")
	d.MustCtr("snapshots", "rm", "done")
}

// topSnapshot returns the committed snapshot that no other has for a parent.
func topSnapshot(t *testing.T, d *Daemon) string {
	t.Helper()
	parents, keys := map[string]bool{}, []string{}
	for line := range strings.Lines(d.MustCtr("snapshots", "ls")) {
		switch f := strings.Fields(line); {
		case len(f) == 3 && f[2] == "Committed":
			keys, parents[f[1]] = append(keys, f[0]), true
		case len(f) == 2 && f[1] == "Committed":
			keys = append(keys, f[0])
		}
	}
	for _, key := range keys {
		if !parents[key] {
			return key
		}
	}
	t.Fatal("no committed snapshot")
	return ""
}

func TestEvents(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := d.CtrCommand(ctx, "events")
		var log lockedBuffer
		events.Stdout = &log
		if err := events.Start(); err != nil {
			t.Fatal(err)
		}
		defer func(cmd *exec.Cmd) { cancel(); _ = cmd.Wait() }(events)
		subscribed(t, d, &log)
		d.MustCtr(d.RunArgs("--rm", ref, "c", "true")...)
		topics := []string{"/containers/create", "/snapshot/prepare", "/tasks/create", "/tasks/start", "/containers/delete"}
		if runtime == Sardine { // containerd's shim may end before it has sent these
			topics = append(topics, "/tasks/exit", "/tasks/delete")
		}
		for _, topic := range topics {
			testnode.Eventually(t, "an event "+topic, func() bool { return strings.Contains(log.String(), topic) })
		}
	})
}

// subscribed waits until a subscriber that has just been started hears.
func subscribed(t *testing.T, d *Daemon, log *lockedBuffer) {
	t.Helper()
	testnode.Eventually(t, "events arrive", func() bool {
		d.MustCtr("namespaces", "create", "heard")
		d.MustCtr("namespaces", "rm", "heard")
		time.Sleep(20 * time.Millisecond)
		return strings.Contains(log.String(), "/namespaces/create")
	})
}
