// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

// used is the network that a pod is attached to now.
func (n *node) used(id string) string {
	n.t.Helper()
	a, _ := n.setup(id)
	calls := n.calls("ADD")
	name := fmt.Sprint(calls[len(calls)-1].config(n.t)["name"])
	n.must(n.Teardown(context.Background(), id, a.NetNS))
	return name
}

// age makes a configuration file older than anything that is being written.
func (n *node) age(name string) {
	n.t.Helper()
	then := time.Now().Add(-time.Hour)
	n.must(os.Chtimes(filepath.Join(n.config.ConfDir, name), then, then))
}

func TestDirectoryAppearsChangesAndGoes(t *testing.T) {
	n := newNode(t)
	n.must(os.Remove(n.config.ConfDir))
	if err := n.Ready(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), n.config.ConfDir) {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := n.Setup(context.Background(), n.attachment("abc")); !errdefs.IsUnavailable(err) {
		t.Errorf("setup without a network: %v", err)
	}
	n.write("20-b.conflist", n.list("1.0.0", "green", ""))
	n.must(n.Ready())
	if got := n.used("a"); got != "green" {
		t.Errorf("attached to %s", got)
	}
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	if got := n.used("b"); got != "blue" {
		t.Errorf("with a file that sorts first: attached to %s", got)
	}
	// The same length, within the same tick of the clock: until Linux 6.13 its times do not show it.
	path := filepath.Join(n.config.ConfDir, "10-a.conflist")
	for i := range 20 {
		name := fmt.Sprintf("net%d", i%10)
		n.must(os.WriteFile(path, []byte(n.list("1.0.0", name, "")), 0o644))
		if got := n.used("c"); got != name {
			t.Fatalf("rewritten in place: attached to %s, expected %s", got, name)
		}
	}
	n.must(os.RemoveAll(n.config.ConfDir))
	if err := n.Ready(); !errdefs.IsUnavailable(err) {
		t.Errorf("directory removed: %v", err)
	}
	other := filepath.Join(n.dir, "other.d")
	n.must(os.Symlink(other, n.config.ConfDir))
	n.must(os.Mkdir(other, 0o755))
	n.must(os.WriteFile(filepath.Join(other, "1.conflist"), []byte(n.list("1.0.0", "linked", "")), 0o644))
	if got := n.used("d"); got != "linked" {
		t.Errorf("behind a link: attached to %s", got)
	}
}

func TestFormsOfFiles(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.MaxConfNum = 0 })
	single := func(name string) string {
		return fmt.Sprintf(`{"cniVersion":"0.4.0","name":%q,"type":"fake","control":%q,"addresses":["10.1.0.2/16"]}`, name, n.control)
	}
	n.write("10-a.conf", single("a"))
	n.write("20-b.json", single("b"))
	n.write("30-c.conflist", n.list("1.0.0", "c", ""))
	n.write("40-d.conflist", `{"cniVersion":"1.1.0","cniVersions":["1.0.0","1.1.0"],"name":"d"}`) // plugins in a directory
	plugins := filepath.Join(n.config.ConfDir, "d")
	n.must(os.Mkdir(plugins, 0o755))
	n.must(os.WriteFile(filepath.Join(plugins, "1.conf"), []byte(single("x")), 0o644))
	n.write("50-e.conflist", strings.Replace(n.list("1.1.0", "e", ""), `{`, `{"loadOnlyInlinedPlugins":true,`, 1))
	n.must(os.Mkdir(filepath.Join(n.config.ConfDir, "e"), 0o755))
	n.must(os.WriteFile(filepath.Join(n.config.ConfDir, "e", "1.conf"), []byte(`{"type":"missing"}`), 0o644))
	n.write("60-f.txt", "no configuration")
	a, r := n.setup("abc")
	if len(r.Interfaces) != 5 {
		t.Errorf("interfaces %+v", r.Interfaces)
	}
	got := map[string]string{}
	for _, c := range n.calls("ADD") {
		got[c.Interface] = fmt.Sprint(c.config(t)["name"], " ", c.config(t)["cniVersion"])
	}
	for ifName, want := range map[string]string{"eth0": "a 0.4.0", "eth1": "b 0.4.0", "eth2": "c 1.0.0", "eth3": "d 1.1.0", "eth4": "e 1.1.0"} {
		if got[ifName] != want {
			t.Errorf("%s is attached to %q, expected %q", ifName, got[ifName], want)
		}
	}
	// The plugins of d are recorded, so their directory is not needed any more.
	n.must(os.RemoveAll(n.config.ConfDir))
	n.must(n.Teardown(context.Background(), "abc", a.NetNS))
	if got := len(n.calls("DEL")); got != 5 {
		t.Errorf("%d DELs, expected 5", got)
	}
}

func TestUnusableFilesArePassedOver(t *testing.T) {
	n := newNode(t)
	bad := map[string]string{
		"01-empty.conf":        "",
		"02-broken.conflist":   `{"name":`,
		"03-noname.conflist":   `{"cniVersion":"1.0.0","plugins":[{"type":"fake"}]}`,
		"04-none.conflist":     `{"cniVersion":"1.0.0","name":"x","plugins":[]}`,
		"05-list.conf":         n.list("1.0.0", "x", ""),
		"06-path.conflist":     `{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"../fake"}]}`,
		"07-upwards.conflist":  `{"cniVersion":"1.0.0","name":"../x"}`,
		"08-inlined.conflist":  `{"cniVersion":"1.0.0","name":"x","loadOnlyInlinedPlugins":true}`,
		"09-null.json":         `null`,
		"10-nullplug.conflist": `{"cniVersion":"1.0.0","name":"x","plugins":[null]}`,
		"12-dotdot.conflist":   `{"cniVersion":"1.0.0","name":"x","plugins":[{"type":".."}]}`,
	}
	for name, text := range bad {
		n.write(name, text)
	}
	n.must(unix.Mkfifo(filepath.Join(n.config.ConfDir, "11-fifo.conf"), 0o600))
	err := n.Ready()
	if !errdefs.IsUnavailable(err) {
		t.Fatalf("only unusable files: %v", err)
	}
	for name := range bad {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not reported", name)
		}
	}
	began := time.Now()
	n.write("99-good.conflist", n.list("1.0.0", "good", ""))
	// A second after the last change, by a coarser clock, none seems to be written any more.
	if err := n.Ready(); !errdefs.IsUnavailable(err) && time.Since(began) < 900*time.Millisecond {
		t.Errorf("while a file seems to be written: %v", err)
	}
	for _, name := range names(t, n.config.ConfDir) {
		n.age(name)
	}
	testnode.Eventually(t, "the good file is used", func() bool { return n.Ready() == nil })
	if got := n.used("abc"); got != "good" {
		t.Errorf("attached to %s", got)
	}
	if got := len(n.Problems()); got != len(bad)+1 {
		t.Errorf("%d problems: %v", got, n.Problems())
	}
}

func TestMissingPluginIsNotReady(t *testing.T) {
	n := newNode(t)
	n.write("10-a.conflist", `{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"absent"}]}`)
	if err := n.Ready(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), `"absent"`) {
		t.Errorf("ready: %v", err)
	}
	n.must(os.Link(filepath.Join(n.config.BinDirs[0], "fake"), filepath.Join(n.config.BinDirs[0], "absent")))
	n.must(n.Ready())
}

func TestOlderNameOfBinDirs(t *testing.T) {
	n := prepare(t)
	n.config.BinDir, n.config.BinDirs = n.config.BinDirs[0], []string{"/nowhere"}
	n.start()
	t.Cleanup(func() { n.Close() })
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	n.must(n.Ready())
}

func TestConfigIsChecked(t *testing.T) {
	good := network.DefaultConfig()
	good.StateDir, good.CacheDir = t.TempDir(), t.TempDir()
	for name, spoil := range map[string]func(*network.Config){
		"relative conf_dir": func(c *network.Config) { c.ConfDir = "net.d" },
		"no state":          func(c *network.Config) { c.StateDir = "" },
		"no cache":          func(c *network.Config) { c.CacheDir = "" },
		"no bin_dirs":       func(c *network.Config) { c.BinDirs = nil },
	} {
		c := good
		spoil(&c)
		if _, err := network.New(c); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
