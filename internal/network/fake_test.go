// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

// fakePlugin builds the plugin once for all tests.
var fakePlugin = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "fake-cni-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", dir+"/fake", "./testdata/fake")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(dir + "/fake")
})

// call is what the fake plugin notes.
type call struct {
	Command, ID, NetNS, Interface, Args string
	Pid                                 int
	Config                              json.RawMessage
}

// config decodes what the plugin got on standard input.
func (c *call) config(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(c.Config, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// node is a configuration directory, a fake plugin and a daemon's Networks.
type node struct {
	t       testing.TB
	dir     string
	config  network.Config
	control string
	*network.Networks
}

// newNode has no configuration yet. Nothing of it may be left at the test's end.
func newNode(t testing.TB, adjust ...func(*network.Config)) *node {
	t.Helper()
	n := prepare(t, adjust...)
	n.start()
	t.Cleanup(func() { n.Close() })
	return n
}

func prepare(t testing.TB, adjust ...func(*network.Config)) *node {
	t.Helper()
	testnode.NeedRoot(t)
	plugin, err := fakePlugin()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	testnode.CheckClean(t, testnode.Options{Dirs: []string{dir}, Daemon: os.Getpid})
	n := &node{t: t, dir: dir, control: filepath.Join(dir, "control")}
	n.config = network.DefaultConfig()
	n.config.BinDirs = []string{filepath.Join(dir, "bin")}
	n.config.ConfDir = filepath.Join(dir, "net.d")
	n.config.StateDir = filepath.Join(dir, "state")
	n.config.CacheDir = filepath.Join(dir, "cache")
	n.config.OtherCaches = []string{filepath.Join(dir, "other")}
	n.config.RetryAfter = 20 * time.Millisecond
	for _, f := range adjust {
		f(&n.config)
	}
	for _, d := range []string{n.control, n.config.ConfDir, n.config.BinDirs[0]} {
		n.must(os.MkdirAll(d, 0o755))
	}
	n.must(os.WriteFile(filepath.Join(n.config.BinDirs[0], "fake"), plugin, 0o755))
	return n
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) start() {
	n.t.Helper()
	var err error
	n.Networks, err = network.New(n.config)
	n.must(err)
}

// restart is the daemon's.
func (n *node) restart() {
	n.t.Helper()
	n.must(n.Close())
	n.start()
}

// write puts a file into the configuration directory, at once.
func (n *node) write(name, text string) {
	n.t.Helper()
	temporary := filepath.Join(n.config.ConfDir, ".new")
	n.must(os.MkdirAll(n.config.ConfDir, 0o755))
	n.must(os.WriteFile(temporary, []byte(text), 0o644))
	n.must(os.Rename(temporary, filepath.Join(n.config.ConfDir, name)))
}

// list is a configuration with one fake plugin, more keys of which follow.
func (n *node) list(version, name, more string) string {
	return fmt.Sprintf(`{"cniVersion":%q,"name":%q,"plugins":[{"type":"fake","control":%q,"addresses":["10.1.0.2/16"]%s}]}`,
		version, name, n.control, more)
}

// behave has the plugin do what it is told at a command, or nothing special again.
func (n *node) behave(command, what string) {
	n.t.Helper()
	path := filepath.Join(n.control, command)
	if what == "" {
		n.must(os.Remove(path))
		return
	}
	n.must(os.WriteFile(path+".new", []byte(what), 0o644))
	n.must(os.Rename(path+".new", path))
}

// calls lists those of a command, "" for all.
func (n *node) calls(command string) []call {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.control, "calls"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	n.must(err)
	var calls []call
	for line := range bytes.Lines(text) {
		var c call
		if json.Unmarshal(line, &c) == nil && (command == "" || c.Command == command) {
			calls = append(calls, c)
		}
	}
	return calls
}

// only is the one call of a command.
func (n *node) only(command string) *call {
	n.t.Helper()
	calls := n.calls(command)
	if len(calls) != 1 {
		n.t.Fatalf("%s was called %d times, expected once", command, len(calls))
	}
	return &calls[0]
}

func (n *node) attachment(id string) *network.Attachment {
	n.t.Helper()
	return &network.Attachment{ID: id, Name: "web", Namespace: "shop", UID: "1234", NetNS: newNamespace(n.t).path()}
}

// setup attaches a pod that must succeed.
func (n *node) setup(id string) (*network.Attachment, *network.Result) {
	n.t.Helper()
	a := n.attachment(id)
	r, err := n.Setup(context.Background(), a)
	n.must(err)
	return a, r
}

// records lists the files of the state directory.
func (n *node) records() []string {
	n.t.Helper()
	return names(n.t, filepath.Join(n.config.StateDir, "attachments"))
}

func (n *node) cached() []string {
	n.t.Helper()
	return names(n.t, filepath.Join(n.config.CacheDir, "results"))
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// nothingLeft waits until nothing is recorded.
func (n *node) nothingLeft() {
	n.t.Helper()
	testnode.Eventually(n.t, "records and results are gone", func() bool {
		return len(n.records())+len(n.cached()) == 0
	})
}

// cancelWhen is a context that ends when something has happened, however long that takes.
func cancelWhen(happened func() bool) (ctx context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for end := time.Now().Add(testnode.Patience); time.Now().Before(end) && !happened(); time.Sleep(5 * time.Millisecond) {
			continue
		}
	}()
	return ctx
}

// running tells whether a process is there and no zombie.
func running(pid int) bool {
	s, err := kernel.ReadProcStat(pid)
	return err == nil && !s.Zombie()
}

// forked tells whether a plugin that is to has started its child.
func (n *node) forked() bool {
	text, err := os.ReadFile(filepath.Join(n.control, "child"))
	return err == nil && len(text) > 0
}

// child is the process that the fake plugin started.
func (n *node) child() int {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.control, "child"))
	n.must(err)
	pid, err := strconv.Atoi(string(text))
	n.must(err)
	return pid
}
