// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestValidate(t *testing.T) {
	good := Options{Daemon: "/d", Runtime: "r", Count: 1, Workers: 1}
	for says, change := range map[string]func(*Options){
		"count is 0":       func(o *Options) { o.Count = 0 },
		"concurrency is 0": func(o *Options) { o.Workers = 0 },
		"runtime name":     func(o *Options) { o.Runtime = "" },
	} {
		o := good
		change(&o)
		if err := o.Validate(); !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an invalid argument that says %q", err, says)
		}
	}
	err := good.Validate()
	if isRoot := os.Geteuid() == 0; isRoot != (err == nil) || !isRoot && !strings.Contains(err.Error(), "sudo") {
		t.Errorf("as user %d: %v", os.Geteuid(), err)
	}
}

// sardined is the daemon that make built.
func sardined(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	path, err := filepath.Abs("../../bin/sardined")
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{path, filepath.Join(filepath.Dir(path), "sardine-init")} {
		if _, err := os.Stat(needed); err != nil {
			t.Skipf("%v; run make first", err)
		}
	}
	return path
}

// checkCgroups looks for the groups of a demonstration's containers, and the
// one they were in: it has the name of the directory in the first line of output.
func checkCgroups(t *testing.T, output string) {
	t.Helper()
	found := regexp.MustCompile(`/(sardine-\d+), ready`).FindStringSubmatch(output)
	if found == nil {
		t.Fatalf("output does not name a directory:\n%s", output)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		left, err := filepath.Glob(pattern + found[1])
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// options has directories of its own, which the leak check looks for.
func options(t *testing.T, count int) Options {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	o := Options{Daemon: sardined(t), Runtime: stress.DefaultRuntime, Count: count, Workers: 4}
	o.Server = filepath.Join(filepath.Dir(o.Daemon), "sardine")
	testnode.CheckClean(t, testnode.Options{Dirs: []string{dir}, Files: []string{dir}})
	return o
}

// machine is what others see of the machine's network.
func machine(t *testing.T) string {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(interfaces, string(forward))
}

func TestRun(t *testing.T) {
	o, before := options(t, 12), machine(t)
	var out strings.Builder
	if err := Run(t.Context(), o, &Display{w: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	checkCgroups(t, out.String())
	for _, want := range []string{
		"started 12 containers in",
		"12 containers, 1 daemon, 0 beside them",
		`it answered "container demo-12, process 1, heard: hello"`,
		"executed /bin/true in it",
		"deleted them in",
		"started a pod with a network of its own, without any CNI plugin, in",
		`/ from the host: "pod web, process 1, asked by`,
		`:8080/, a port of the host: "pod web, process 1, asked by`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	if after := machine(t); after != before {
		t.Errorf("the machine's network is %s, was %s", after, before)
	}
}

func TestRunInterrupted(t *testing.T) {
	o := options(t, 200)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelAfter{text: "starting containers 50 of", cancel: cancel}
	err := Run(ctx, o, &Display{w: out})
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "delete") {
		t.Errorf("got %v", err)
	}
	checkCgroups(t, out.String())
	if strings.Contains(out.String(), "started 200") {
		t.Error("the run went on after it was cancelled")
	}
}

// cancelAfter cancels once a text was written.
type cancelAfter struct {
	strings.Builder
	text   string
	cancel context.CancelFunc
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.cancel()
	}
	return c.Builder.Write(p)
}
