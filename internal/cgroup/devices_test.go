// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func denyAll() specs.LinuxDeviceCgroup  { return specs.LinuxDeviceCgroup{Access: "rwm"} }
func allowAll() specs.LinuxDeviceCgroup { return specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"} }

func device(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
}

// TestDevicePolicyIsEnforced opens devices from inside: what the kernel does counts,
// whether through devices.list or an eBPF program.
func TestDevicePolicyIsEnforced(t *testing.T) {
	h := detect(t)
	const null, kmsg, mem = "1:3", "1:11", "1:1"
	for _, test := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		want  map[string]string // device to the accesses allowed of "r", "w" and "m"
	}{
		{"no rules", nil, map[string]string{null: "rwm", kmsg: "m", mem: "m"}},
		{"deny all", []specs.LinuxDeviceCgroup{denyAll()}, map[string]string{null: "rwm", kmsg: "m"}},
		{"privileged", []specs.LinuxDeviceCgroup{allowAll()}, map[string]string{null: "rwm", kmsg: "rwm", mem: "rwm"}},
		{"one more", []specs.LinuxDeviceCgroup{denyAll(), device(true, "c", 1, 11, "r")}, map[string]string{kmsg: "rm", mem: "m"}},
		{"taken back", []specs.LinuxDeviceCgroup{denyAll(), device(true, "c", 1, 11, "rw"), device(false, "c", 1, 11, "w")}, map[string]string{kmsg: "rm"}},
		{"all but one", []specs.LinuxDeviceCgroup{allowAll(), device(false, "c", 1, 11, "rwm")}, map[string]string{mem: "rwm"}},
		{"whole major", []specs.LinuxDeviceCgroup{denyAll(), device(true, "c", 1, -1, "r")}, map[string]string{kmsg: "rm", mem: "rm"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 2 { // on v2 the second container takes the filter from the cache
				cfg := testConfig()
				cfg.Resources = &specs.LinuxResources{Devices: test.rules}
				c := newCgroup(t, h, cfg)
				for numbers, want := range test.want {
					if got := accesses(t, c, numbers); got != want {
						t.Errorf("device %s: %q allowed, want %q", numbers, got, want)
					}
				}
			}
		})
	}
}

// TestUpdatedDevicePolicyIsEnforced.
func TestUpdatedDevicePolicyIsEnforced(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	err := c.Update(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{denyAll(), device(true, "c", 1, 11, "r")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := accesses(t, c, "1:11"); got != "rm" {
		t.Errorf("after Update: %q", got)
	}
	if err := c.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer[int64](-1)}}); err != nil {
		t.Fatal(err)
	}
	if got := accesses(t, c, "1:11"); got != "rm" {
		t.Errorf("after an Update without device rules: %q", got)
	}
}

// accesses tries the character device in c and names what was allowed.
func accesses(t *testing.T, c *Cgroup, numbers string) string {
	t.Helper()
	dir := t.TempDir()
	major, minor, _ := strings.Cut(numbers, ":")
	node := filepath.Join(dir, "node")
	dev := unix.Mkdev(uint32(parseLimit(major)), uint32(parseLimit(minor)))
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(dev)); err != nil {
		t.Fatalf("mknod: %v", err)
	}
	t.Setenv("CGROUP_TEST_DEVICE", node)
	p, err := born(c, "device")
	if err != nil {
		t.Fatal(err)
	}
	state, err := p.Wait()
	if err != nil || !state.Success() {
		t.Fatalf("device role: %v, %v", state, err)
	}
	return readFile(t, node+".result")
}

// tryDevice is the child's part.
func tryDevice(node string) int {
	var st unix.Stat_t
	if err := unix.Stat(node, &st); err != nil {
		return 2
	}
	result := ""
	for access, flag := range []int{unix.O_RDONLY, unix.O_WRONLY} {
		fd, err := unix.Open(node, flag|unix.O_NONBLOCK, 0)
		if err != unix.EPERM {
			result += "rw"[access : access+1]
		}
		if err == nil {
			unix.Close(fd)
		}
	}
	if unix.Mknod(node+".new", unix.S_IFCHR|0o600, int(st.Rdev)) == nil {
		result += "m"
	}
	if os.WriteFile(node+".result", []byte(result), 0o600) != nil {
		return 2
	}
	return 0
}

func TestFastPathWritesWhatTheDevicesPackageWould(t *testing.T) {
	h := detect(t)
	hier := h.v1Of("devices")
	if hier == nil {
		t.Skip("needs the v1 devices controller")
	}
	rules, err := deviceRules(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{denyAll(), device(true, "b", 8, 1, "rm")}})
	if err != nil {
		t.Fatal(err)
	}
	fast, slow := newCgroup(t, h, testConfig()), newCgroup(t, h, testConfig())
	p, ok := simplify(rules)
	if !ok {
		t.Fatal("not simple")
	}
	if err := p.write(hier, fast.path); err != nil {
		t.Fatal(err)
	}
	err = slow.Update(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{denyAll(), device(true, "b", 8, 1, "rm")}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := sortedLines(readFile(t, hier.path(fast.path), "devices.list")), sortedLines(readFile(t, hier.path(slow.path), "devices.list"))
	if a != b {
		t.Errorf("fast path:\n%s\ndevices package:\n%s", a, b)
	}
}

func TestSimplify(t *testing.T) {
	rule := func(d specs.LinuxDeviceCgroup) *config.Rule {
		r, err := deviceRule(d)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, deny := rule(device(true, "c", 1, 3, "r")), rule(device(false, "c", 1, 3, "r"))
	for _, test := range []struct {
		rules    []*config.Rule
		allowAll bool
		allowed  int
		ok       bool
	}{
		{nil, false, 0, true},
		{[]*config.Rule{one, one}, false, 2, true},
		{[]*config.Rule{one, rule(denyAll())}, false, 0, true},
		{[]*config.Rule{rule(allowAll()), one}, true, 0, true},
		{[]*config.Rule{rule(allowAll()), rule(denyAll()), one}, false, 1, true},
		{[]*config.Rule{one, deny}, false, 0, false},
		{[]*config.Rule{rule(allowAll()), deny}, false, 0, false},
	} {
		p, ok := simplify(test.rules)
		if ok != test.ok || p.allowAll != test.allowAll || len(p.allowed) != test.allowed {
			t.Errorf("%v: %+v, %v", test.rules, p, ok)
		}
	}
}

func TestDeviceRuleMistakes(t *testing.T) {
	for want, d := range map[string]specs.LinuxDeviceCgroup{
		"type \"p\"":       device(true, "p", 1, 3, "r"),
		"access \"\"":      device(true, "c", 1, 3, ""),
		"access \"rx\"":    device(true, "c", 1, 3, "rx"),
		"major -2":         device(true, "c", -2, 3, "r"),
		"minor 4294967296": device(true, "b", 1, 1<<32, "r"),
		"covers all":       device(true, "a", 1, 3, "r"),
	} {
		_, err := deviceRules(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{denyAll(), d}})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "linux.resources.devices[1]") {
			t.Errorf("%+v: %v, want ErrInvalidArgument with %q", d, err, want)
		}
	}
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
