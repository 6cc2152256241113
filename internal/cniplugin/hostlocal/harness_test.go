// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/testnode"
)

// program is the reference plugin's.
const program = "../../../bin/tools/host-local"

// call is one invocation, of ours or of the program. DIR in conf stands for the test's directory.
type call struct {
	verb, id, args, conf string
}

func (c call) environ() []string {
	return []string{"CNI_COMMAND=" + c.verb, "CNI_CONTAINERID=" + c.id, "CNI_IFNAME=eth0", "CNI_NETNS=/some/where",
		"CNI_NETNS_OVERRIDE=1", "CNI_ARGS=" + c.args, "CNI_PATH=" + filepath.Dir(program)}
}

// runner does calls with the data in dir.
type runner struct {
	dir string
	do  func(ctx context.Context, c call) ([]byte, error)
}

// network is where the leases are.
func (r runner) network() string { return filepath.Join(r.dir, "net") }

func (r runner) run(t testing.TB, c call) (string, error) {
	c.conf = strings.ReplaceAll(c.conf, "DIR", r.dir)
	out, err := r.do(t.Context(), c)
	return strings.TrimSpace(string(out)), err
}

func inside(dir string, p *Plugin) runner {
	set := cniplugin.NewSet(map[string]cniplugin.Plugin{"host-local": p}, nil)
	path, _ := set.FindInPath("host-local", nil)
	return runner{dir, func(ctx context.Context, c call) ([]byte, error) {
		return set.ExecPlugin(ctx, path, []byte(c.conf), c.environ())
	}}
}

func reference(t testing.TB, dir string) runner {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		testnode.Unavailable(t, "no reference plugin: run make tools")
	}
	return runner{dir, func(ctx context.Context, c call) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program)
		cmd.Env, cmd.Stdin = c.environ(), strings.NewReader(c.conf)
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said := &types.Error{}
			if json.Unmarshal(out, said) != nil {
				return nil, err
			}
			return nil, said
		}
		return out, err
	}}
}

// files are all of a directory with what is in them.
func files(t testing.TB, dir string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&text, "%s %s", info.Mode(), rel)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, " %q", data)
		}
		text.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// leases are the names of files that are addresses.
func leases(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := parseAddress(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}

// addressOf is the only address in a result.
func addressOf(t testing.TB, result string) string {
	t.Helper()
	var r current.Result
	if err := json.Unmarshal([]byte(result), &r); err != nil || len(r.IPs) != 1 {
		t.Fatalf("result %q: %v", result, err)
	}
	return r.IPs[0].Address.IP.String()
}

func code(err error) uint {
	var e *types.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// simple is a configuration with one subnet.
func simple(subnet string) string {
	return `{"cniVersion":"1.0.0","name":"net","type":"bridge","ipam":{"type":"host-local","dataDir":"DIR","subnet":"` + subnet + `"}}`
}
