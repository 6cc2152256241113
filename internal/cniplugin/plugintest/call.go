// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Call is one invocation of a plugin, by either way.
type Call struct {
	Type        string // of the plugin
	ContainerID string // "pod" by default
	IfName      string // "eth0" by default
	Args        string // CNI_ARGS
	NetNS       string // "" for the pod's; "none" for no namespace at all
	Config      string // JSON
}

func (c Call) environ(verb string, pod *netif.Namespace) []string {
	id, ifName, netns := c.ContainerID, c.IfName, c.NetNS
	if id == "" {
		id = "pod"
	}
	if ifName == "" {
		ifName = "eth0"
	}
	switch netns {
	case "":
		netns = pod.Path()
	case "none":
		netns = ""
	}
	return []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + id, "CNI_IFNAME=" + ifName, "CNI_NETNS=" + netns,
		"CNI_ARGS=" + c.Args, "CNI_PATH=" + Tools(), "PATH=" + os.Getenv("PATH"),
		"DBUS_SYSTEM_BUS_ADDRESS=" + os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")}
}

// Tools is where the reference programs are.
var Tools = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir + "/go.mod"); err == nil {
			break
		}
	}
	return filepath.Join(dir, "bin/tools")
})

// Inside calls p the way libcni would. Plugins that are not p are not found.
func Inside(ctx context.Context, p cniplugin.Plugin, pair Pair, verb string, c Call) (string, error) {
	set := cniplugin.NewSet(map[string]cniplugin.Plugin{c.Type: p}, nil)
	path, err := set.FindInPath(c.Type, nil)
	if err != nil {
		return "", err
	}
	out, err := set.ExecPlugin(ctx, path, []byte(c.Config), c.environ(verb, pair.Pod))
	return string(out), err
}

// Reference runs the reference program of the same type, in the pair's host. Its errors are *types.Error.
func Reference(t testing.TB, pair Pair, verb string, c Call) (string, error) {
	t.Helper()
	program := filepath.Join(Tools(), c.Type)
	_, err := os.Stat(program)
	if err != nil {
		testnode.Unavailable(t, "no reference program, run make tools: "+err.Error())
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.environ(verb, pair.Pod), bytes.NewReader([]byte(c.Config)), &stdout, &stderr
	if failed := pair.Host.Do(func() error { err = cmd.Run(); return nil }); failed != nil {
		t.Fatal(failed)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		e := &types.Error{}
		if json.Unmarshal(stdout.Bytes(), e) != nil {
			e.Msg = stderr.String()
		}
		return "", e
	}
	if err != nil {
		t.Fatal(err)
	}
	return stdout.String(), nil
}

// Same fails the test unless both are the same JSON, whatever the white space.
func Same(t testing.TB, what, reference, inside string) {
	t.Helper()
	if a, b := canonical(reference), canonical(inside); a != b {
		t.Errorf("%s differs\nreference: %s\ninside:    %s", what, a, b)
	}
}

func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, _ := json.MarshalIndent(v, "", " ")
	return string(out)
}

// Code is the CNI error code of err: 0 for nil, 999 for what is no *types.Error.
func Code(err error) uint {
	if err == nil {
		return 0
	}
	if e := (*types.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return types.ErrInternal
}
