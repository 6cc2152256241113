// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/nft"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }

// plugin makes a plugin that knows of nothing, as after a start of the daemon.
func plugin(t testing.TB) *Plugin {
	t.Helper()
	host := plugintest.Here(t)
	tables, err := nft.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	return New(Config{Host: host, Tables: tables})
}

func call(id, config string) *cniplugin.Call {
	return &cniplugin.Call{ContainerID: id, IfName: "eth0", NetNS: "/proc/1/ns/net", Config: []byte(config)}
}

// add attaches with the plugin, and fails the test when that fails.
func add(t testing.TB, p *Plugin, id, config string) {
	t.Helper()
	result, err := p.Add(t.Context(), call(id, config))
	if err == nil {
		result, err = result.GetAsVersion("1.0.0")
	}
	if err != nil {
		t.Fatal(err)
	}
	var in struct{ PrevResult json.RawMessage }
	if err := json.Unmarshal([]byte(config), &in); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := canonical(t, out), canonical(t, in.PrevResult); got != want {
		t.Errorf("result %s, want the previous one %s", got, want)
	}
}

func canonical(t testing.TB, data []byte) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "dns")
	if ips, ok := v["ips"].([]any); ok && len(ips) == 0 {
		delete(v, "ips")
	}
	out, _ := json.Marshal(v)
	return string(out)
}

func del(t testing.TB, p *Plugin, id, config string) {
	t.Helper()
	if err := p.Del(t.Context(), call(id, config)); err != nil {
		t.Fatal(err)
	}
}

// reference runs the reference plugin's program here, and returns the message of its error.
func reference(t testing.TB, verb, id, config string) error {
	t.Helper()
	_, err := plugintest.Reference(t, plugintest.Pair{Host: plugintest.Here(t)}, verb, plugintest.Call{
		Type: "portmap", ContainerID: id, NetNS: fmt.Sprintf("/proc/%d/ns/net", os.Getppid()), Config: config})
	if e := (*types.Error)(nil); errors.As(err, &e) {
		return errors.New(e.Msg)
	}
	return err
}

func referenceAdd(t testing.TB, id, config string) {
	t.Helper()
	if err := reference(t, "ADD", id, config); err != nil {
		t.Fatal(err)
	}
}

const bothAddresses = `"ips": [{"interface": 0, "address": "10.22.0.5/24"}, {"interface": 0, "address": "fd00::5/64"}]`

// configure makes a configuration of options, mappings and addresses.
func configure(options, mappings, ips string) string {
	if options != "" {
		options += ","
	}
	return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net", "type": "portmap", "capabilities": {"portMappings": true}, %s
		"runtimeConfig": {"portMappings": [%s]},
		"prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}, {"name": "br0"}], %s}}`, options, mappings, ips)
}

const webPort = `{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}`
