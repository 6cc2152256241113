// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// sardined runs the daemon's command line to its end. A test must not make it
// serve: without a root and a state directory it takes the node's.
func sardined(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, Program(t, "sardined"), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func configFile(t *testing.T, toml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantAll(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestVersion(t *testing.T) {
	out, _, err := sardined(t, "--version")
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, out, "sardined github.com/sardine-run/sardine ", "containerd API v2.")
}

func TestConfigDefault(t *testing.T) {
	out, _, err := sardined(t, "config", "default")
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, out,
		"version = 4",
		"root = '/var/lib/containerd'",
		"state = '/run/containerd'",
		"address = '/run/containerd/containerd.sock'",
		"[plugins.'io.containerd.runtime.v2.task']",
		"[plugins.'io.containerd.runtime.v2.task'.sardine]",
		"stock_runc = 'auto'",
		"[plugins.'io.containerd.cri.v1.runtime']",
		"[plugins.'io.containerd.cri.v1.images']",
		"[plugins.'io.containerd.grpc.v1.cri']",
		"[plugins.'io.containerd.snapshotter.v1.overlayfs']",
		"[plugins.'io.containerd.gc.v1.scheduler']")
	again, _, err := sardined(t, "--config", configFile(t, out), "config", "dump")
	if err != nil {
		t.Fatal(err)
	}
	if again != out {
		t.Errorf("dump of the default configuration differs from it:\n%s", again)
	}
}

func TestConfigDump(t *testing.T) {
	path := configFile(t, "version = 4\nroot = '/elsewhere'\noom_score = -500\n[plugins.'io.containerd.gc.v1.scheduler']\npause_threshold = 0.5\n")
	out, _, err := sardined(t, "--config", path, "config", "dump")
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, out, "root = '/elsewhere'", "oom_score = -500", "pause_threshold = 0.5", "deletion_threshold = 0")
}

func TestConfigMigrate(t *testing.T) {
	for _, test := range []struct {
		name, toml string
		want       []string
	}{
		{"version 2", `version = 2
root = "/r"
[grpc]
address = "/s/c.sock"
gid = 7
[debug]
address = "/s/debug.sock"
level = "warn"
[metrics]
address = "127.0.0.1:1338"
grpc_histogram = true
[plugins."io.containerd.snapshotter.v1.overlayfs"]
root_path = "/o"
[plugins."io.containerd.runtime.v2.task"]
platforms = ["linux/amd64", "linux/386"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.example/pause:1"
[proxy_plugins.mine]
type = "snapshot"
address = "/s/mine.sock"
`, []string{
			"version = 4", "root = '/r'", "address = '/s/c.sock'", "gid = 7", "address = '/s/debug.sock'", "level = 'warn'",
			"address = '127.0.0.1:1338'", "grpc_histogram = true", "root_path = '/o'",
			"platforms = ['linux/amd64', 'linux/386']", "address = '/s/mine.sock'",
		}},
		{"version 3", `version = 3
state = "/t"
[grpc]
address = "/s/c.sock"
max_recv_message_size = 1048576
[ttrpc]
address = "/s/t.sock"
[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "5s"
[timeouts]
"io.containerd.timeout.bolt.open" = "3s"
`, []string{
			"version = 4", "state = '/t'", "address = '/s/c.sock'", "max_recv_message_size = 1048576", "address = '/s/t.sock'",
			"startup_delay = '5s'", "'io.containerd.timeout.bolt.open' = '3s'",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, _, err := sardined(t, "--config", configFile(t, test.toml), "config", "migrate")
			if err != nil {
				t.Fatal(err)
			}
			wantAll(t, out, test.want...)
		})
	}
}

// unpinned keeps a daemon that gets as far as its recorder of exits from leaving that on the node's bpffs, for the next daemon.
const unpinned = "[plugins.'io.containerd.runtime.v2.task'.sardine]\nbpf_dir = 'none'\n"

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		toml string
		want string // on the standard error
	}{
		{"not TOML", "version = 4\n[plugins\n", "failed to unmarshal TOML"},
		{"newer", "version = 99\n", "99"},
		{"root is state", "version = 4\nroot = '/tmp/e2e-same'\nstate = '/tmp/e2e-same'\n", "root and state must be different"},
		{"unknown required plugin", "version = 4\nroot = '%[1]s/r'\nstate = '%[1]s/s'\nrequired_plugins = ['io.example.v1.none']\n" + unpinned, "io.example.v1.none"},
		{"plugin setting of the wrong type", "version = 4\nroot = '%[1]s/r'\nstate = '%[1]s/s'\n[plugins.'io.containerd.gc.v1.scheduler']\npause_threshold = 'much'\n" + unpinned, "io.containerd.gc.v1.scheduler"},
	} {
		t.Run(test.name, func(t *testing.T) {
			toml := strings.ReplaceAll(test.toml, "%[1]s", t.TempDir())
			_, stderr, err := sardined(t, "--config", configFile(t, toml))
			if err == nil {
				t.Fatal("the daemon ran with it")
			}
			wantAll(t, stderr, "sardined: ", test.want)
		})
	}
}
