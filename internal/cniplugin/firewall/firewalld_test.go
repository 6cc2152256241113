// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bufio"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/testnode"
)

// fakeFirewalld has firewalld's name on a bus, and keeps the sources of zones.
type fakeFirewalld struct {
	mu      sync.Mutex
	sources []string // "zone source"
	refuse  string   // a source
}

func (f *fakeFirewalld) AddSource(zone, source string) (string, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if source == f.refuse {
		return "", dbus.MakeFailedError(fmt.Errorf("INVALID_ADDR: %s", source))
	}
	if slices.Contains(f.sources, zone+" "+source) {
		return "", dbus.MakeFailedError(fmt.Errorf("ZONE_ALREADY_SET: %s", source))
	}
	f.sources = append(f.sources, zone+" "+source)
	return zone, nil
}

func (f *fakeFirewalld) RemoveSource(zone, source string) (string, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.sources, zone+" "+source)
	if i < 0 {
		return "", dbus.MakeFailedError(fmt.Errorf("UNKNOWN_SOURCE: %s", source))
	}
	f.sources = slices.Delete(f.sources, i, i+1)
	return zone, nil
}

func (f *fakeFirewalld) QuerySource(zone, source string) (bool, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.sources, zone+" "+source), nil
}

func (f *fakeFirewalld) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.sources, "\n")
}

// startBus makes a D-Bus that this process and its children take for the system's.
func startBus(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		testnode.Unavailable(t, "install dbus-daemon: "+err.Error())
	}
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", "--address=unix:path="+t.TempDir()+"/bus")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", strings.TrimSpace(address))
}

func startFirewalld(t *testing.T) *fakeFirewalld {
	t.Helper()
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fake := &fakeFirewalld{}
	names := map[string]string{"AddSource": "addSource", "RemoveSource": "removeSource", "QuerySource": "querySource"}
	if err := conn.ExportWithMap(fake, names, firewalldPath, strings.TrimSuffix(zoneInterface, ".")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(firewalldName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return fake
}

func TestFirewalldLikeReference(t *testing.T) {
	startBus(t)
	pair := plugintest.NewPair(t)
	p, fake := newPlugin(t, pair), startFirewalld(t)
	for name, options := range map[string]string{
		"configured": `"backend":"firewalld",`, "found": ``, "zone": `"firewalldZone":"other",`,
	} {
		in := call(options, bridged, both)
		for _, verb := range []string{"ADD", "ADD", "CHECK", "DEL", "DEL"} {
			want, wantErr := plugintest.Reference(t, pair, verb, in)
			expected := fake.state()
			if verb == "ADD" || verb == "DEL" { // undone, and done again
				other := map[string]string{"ADD": "DEL", "DEL": "ADD"}[verb]
				if _, err := plugintest.Reference(t, pair, other, in); err != nil {
					t.Fatal(err)
				}
			}
			got, err := plugintest.Inside(t.Context(), p, pair, verb, in)
			if plugintest.Code(err) != plugintest.Code(wantErr) {
				t.Errorf("%s: %s: %v, the reference says %v", name, verb, err, wantErr)
			}
			plugintest.Same(t, verb, want, got)
			plugintest.Same(t, name+": sources after "+verb, expected, fake.state())
		}
		if _, err := plugintest.Inside(t.Context(), p, pair, "CHECK", in); err == nil {
			t.Error(name, ": CHECK does not see that the address is in no zone")
		}
	}
	if left := saved(t, pair); strings.Contains(left, "10.0.0.2") {
		t.Error("rules of iptables beside firewalld: ", left)
	}
}

func TestFirewalldPolicyIsByIPTables(t *testing.T) {
	startBus(t)
	startFirewalld(t)
	ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
	in := call(`"backend":"firewalld","ingressPolicy":"isolated",`, bridged, both)
	if _, err := plugintest.Reference(t, theirs, "ADD", in); err != nil {
		t.Fatal(err)
	}
	if _, err := plugintest.Inside(t.Context(), newPlugin(t, ours), ours, "ADD", in); err != nil {
		t.Fatal(err)
	}
	plugintest.Same(t, "rules", saved(t, theirs), saved(t, ours))
}

func TestFirewalldRefuses(t *testing.T) {
	startBus(t)
	pair := plugintest.NewPair(t)
	p, fake := newPlugin(t, pair), startFirewalld(t)
	fake.mu.Lock()
	fake.refuse = "2001:db8:1:2::1/128"
	fake.mu.Unlock()
	if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", call(``, bridged, both)); err == nil || !strings.Contains(err.Error(), "INVALID_ADDR") {
		t.Error(err)
	}
	if left := fake.state(); left != "" {
		t.Error("left: ", left)
	}
}

func TestWithoutDBus(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
	pair := plugintest.NewPair(t)
	for _, verb := range []string{"ADD", "CHECK", "DEL"} {
		in := call(`"backend":"firewalld",`, bridged, both)
		_, want := plugintest.Reference(t, pair, verb, in)
		if _, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, verb, in); err == nil || want == nil {
			t.Errorf("%s: %v, the reference says %v", verb, err, want)
		}
	}
}
