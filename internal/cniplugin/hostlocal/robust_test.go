// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/kernel"
)

func add(t *testing.T, r runner, id, conf string) string {
	t.Helper()
	out, err := r.run(t, call{verb: "ADD", id: id, conf: conf})
	if err != nil {
		t.Fatal(err)
	}
	return addressOf(t, out)
}

func del(t *testing.T, r runner, id, conf string) {
	t.Helper()
	if _, err := r.run(t, call{verb: "DEL", id: id, conf: conf}); err != nil {
		t.Fatal(err)
	}
}

// TestOthersChangesAreSeen changes the directory within the same clock tick as the plugin, also so that names stay the same.
func TestOthersChangesAreSeen(t *testing.T) {
	r := inside(t.TempDir(), New())
	for i := range 300 {
		mine, other := fmt.Sprintf("mine-%d", i), fmt.Sprintf("other-%d", i)
		lease := filepath.Join(r.network(), add(t, r, mine, simple("10.1.0.0/16")))
		if err := os.Remove(lease); err != nil {
			t.Fatal(err)
		}
		write(t, lease, other+"\r\neth0")
		if i%2 == 0 { // which is the first to look
			del(t, r, mine, simple("10.1.0.0/16"))
		}
		if got := leases(t, r.network()); len(got) != 1 {
			t.Fatalf("%d: released somebody else's: %v", i, got)
		}
		del(t, r, other, simple("10.1.0.0/16"))
		if got := leases(t, r.network()); len(got) != 0 {
			t.Fatalf("%d: not released: %v", i, got)
		}
	}
}

func TestDirectoryGoesAway(t *testing.T) {
	r := inside(t.TempDir(), New())
	conf := simple("10.1.2.0/24")
	del(t, r, "a", conf)
	if _, err := os.Stat(r.network()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("DEL made the directory: %v", err)
	}
	for range 3 {
		if got := add(t, r, "a", conf); got != "10.1.2.2" {
			t.Errorf("got %s", got)
		}
		if err := os.RemoveAll(r.network()); err != nil {
			t.Fatal(err)
		}
	}
	del(t, r, "a", conf)
}

// TestLockIsWaitedForNoLonger ends calls while somebody else has the lock, and those that wait behind them.
func TestLockIsWaitedForNoLonger(t *testing.T) {
	p := New()
	dir := t.TempDir()
	network := filepath.Join(dir, "net")
	if err := os.Mkdir(network, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := kernel.LockFD(filepath.Join(network, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	results := make(chan error, 4)
	for i := range cap(results) {
		c := &cniplugin.Call{ContainerID: fmt.Sprint(i), IfName: "eth0", Config: []byte(strings.ReplaceAll(simple("10.1.2.0/24"), "DIR", dir))}
		go func() {
			_, err := p.Add(ctx, c)
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; code(err) != types.ErrTryAgainLater || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
	unix.Close(lock)
	again, err := kernel.LockFD(filepath.Join(network, "lock"))
	if err != nil {
		t.Fatalf("somebody took the lock after his call: %v", err)
	}
	unix.Close(again)
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched() // those that have sent their result end
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
	if left := leases(t, network); len(left) != 0 {
		t.Errorf("leaked %v", left)
	}
}

func TestFailedAddLeavesNothing(t *testing.T) {
	r := inside(t.TempDir(), New())
	conf := `{"cniVersion":"1.0.0","name":"net","type":"bridge","ipam":{"type":"host-local","dataDir":"DIR",
		"ranges":[[{"subnet":"2001:db8::/64"}],[{"subnet":"10.1.2.0/30"}]]}}`
	first, err := r.run(t, call{verb: "ADD", id: "a", conf: conf})
	if err != nil {
		t.Fatal(first, err)
	}
	if _, err := r.run(t, call{verb: "ADD", id: "b", conf: conf}); err == nil {
		t.Error("two pods share an address")
	}
	if got := leases(t, r.network()); len(got) != 2 {
		t.Errorf("leases: %v", got)
	}
	del(t, r, "a", strings.Replace(conf, "10.1.2.0/30", "not an address", 1)) // the ranges do not matter
	if got := leases(t, r.network()); len(got) != 0 {
		t.Errorf("leases: %v", got)
	}
}

func TestGC(t *testing.T) {
	r := inside(t.TempDir(), New())
	conf := strings.Replace(simple("10.1.2.0/24"), "1.0.0", "1.1.0", 1)
	for _, id := range []string{"a", "b", "c"} {
		add(t, r, id, conf)
	}
	at := func(name string) string { return filepath.Join(r.network(), name) }
	write(t, at("10.1.2.100"), "")
	write(t, at("10.1.2.101"), "a")
	write(t, at("10.1.2.102"), "gone")
	write(t, at("10.1.2.103"), "somebody's notes")
	write(t, at("10.1.2.104"), "b\r\neth1")
	valid := strings.TrimSuffix(conf, "}") + `,"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{"containerID":"c","ifname":"eth0"}]}`
	if _, err := r.run(t, call{verb: "GC", conf: valid}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(leases(t, r.network())); got != "[10.1.2.101 10.1.2.103 10.1.2.2 10.1.2.4]" {
		t.Errorf("left %s", got)
	}
	del(t, r, "c", conf)
	if got := add(t, r, "d", conf); got != "10.1.2.5" {
		t.Errorf("got %s", got)
	}
}

func TestStatus(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	r := inside(dir, New())
	for conf, want := range map[string]uint{
		`"subnet":"10.1.2.0/24"`:                                           0,
		`"subnet":"10.1.2.0/24","resolvConf":"/dev/null"`:                  0,
		`"subnet":"10.1.2.0/24","dataDir":"DIR/not/yet"`:                   0,
		`"subnet":"10.1.2.0/31"`:                                           7,
		`"subnet":"10.1.2.3/24"`:                                           7,
		`"subnet":"nonsense"`:                                              7,
		`"ranges":[[]]`:                                                    7,
		`"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.2.0/25"}]]`: 7,
		`"x":1`:                                  7,
		`"ranges":"x"`:                           6,
		`"subnet":"10.1.2.0/24","routes":[null]`: 7,
		`"subnet":"10.1.2.0/24","routes":[{"dst":"here"}]`:        7,
		`"subnet":"10.1.2.0/24","resolvConf":"DIR/missing"`:       50,
		`"subnet":"10.1.2.0/24","dataDir":"DIR/file"`:             50,
		`"subnet":"10.1.2.0/24"},"args":{"cni":{"ips":[null]}`:    7,
		`"subnet":"10.1.2.0/24"},"runtimeConfig":{"ips":[null]`:   7,
		`"ranges":[]},"capabilities":{"ipRanges":true`:            0,
		`"subnet":"10.1.2.0/31"},"capabilities":{"ipRanges":true`: 7,
	} {
		text := `{"cniVersion":"1.1.0","name":"net","type":"bridge","ipam":{"type":"host-local",` + conf + `}}`
		if !strings.Contains(conf, "dataDir") {
			text = strings.Replace(text, `"type":"host-local"`, `"type":"host-local","dataDir":"DIR"`, 1)
		}
		if _, err := r.run(t, call{verb: "STATUS", conf: text}); code(err) != want || want == 0 && err != nil {
			t.Errorf("%s: %v, code %d", conf, err, code(err))
		}
	}
}

func TestRelativePathsAreDeclined(t *testing.T) {
	for _, ipam := range []string{`"dataDir":"relative"`, `"dataDir":"DIR","resolvConf":"relative"`} {
		conf := strings.ReplaceAll(`{"cniVersion":"1.1.0","name":"net","ipam":{"subnet":"10.1.2.0/24",`+ipam+`}}`, "DIR", t.TempDir())
		_, err := New().Add(t.Context(), &cniplugin.Call{ContainerID: "a", IfName: "eth0", Config: []byte(conf)})
		if !errors.Is(err, cniplugin.ErrDeclined) {
			t.Errorf("%s: %v", ipam, err)
		}
	}
}

// TestMemoryIsBounded uses many networks, and sees that idle ones are forgotten.
func TestMemoryIsBounded(t *testing.T) {
	p := New()
	r := inside(t.TempDir(), p)
	for i := range 2 * maxNetworks {
		conf := strings.Replace(simple("10.1.2.0/24"), `"net"`, fmt.Sprintf(`"net%d"`, i), 1)
		add(t, r, "a", conf)
	}
	if n := len(p.networks.entries); n > maxNetworks {
		t.Errorf("%d networks are remembered", n)
	}
	del(t, r, "a", strings.Replace(simple("10.1.2.0/24"), `"net"`, `"net0"`, 1))
	if got := leases(t, filepath.Join(r.dir, "net0")); len(got) != 0 {
		t.Errorf("leases: %v", got)
	}
}

// TestIndexIsUsed sees that nothing is read twice: a lease that was emptied behind the plugin's back, without a change of the
// directory, is still known to be somebody's, until it is looked at.
func TestIndexIsUsed(t *testing.T) {
	p := New()
	r := inside(t.TempDir(), p)
	conf := simple("10.1.2.0/24")
	add(t, r, "a", conf)
	known := p.networks.entries[r.network()].index
	add(t, r, "b", conf)
	del(t, r, "b", conf)
	if got := p.networks.entries[r.network()].index; got != known || known.leases != 1 {
		t.Errorf("the directory was read again, or %d leases", got.leases)
	}
	write(t, filepath.Join(r.network(), "10.1.2.2"), "")
	del(t, r, "a", conf)
	if got := leases(t, r.network()); len(got) != 1 {
		t.Errorf("gave up what is nobody's: %v", got)
	}
}
