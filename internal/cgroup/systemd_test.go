// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestUnitProperties(t *testing.T) {
	for key, test := range map[string]struct {
		text, name string
		value      any
	}{
		"TimeoutStopUSec":     {"uint64 5000000", "TimeoutStopUSec", uint64(5000000)},
		"TimeoutStopSec":      {"5", "TimeoutStopUSec", uint64(5000000)},
		"RestartSec":          {"0.25", "RestartUSec", uint64(250000)},
		"CollectMode":         {"'inactive-or-failed'", "CollectMode", "inactive-or-failed"},
		"DefaultDependencies": {"true", "DefaultDependencies", true},
		"After":               {"['a.service', 'b.service']", "After", []string{"a.service", "b.service"}},
	} {
		p, err := unitProperty(key, test.text)
		if err != nil || p.Name != test.name || p.Value.String() != dbus.MakeVariant(test.value).String() {
			t.Errorf("%s=%s: %s=%v, %v, want %s=%v", key, test.text, p.Name, p.Value, err, test.name, test.value)
		}
	}
	got, err := unitProperties(map[string]string{"other": "x", propertyPrefix + "Bbb": "1", propertyPrefix + "Aaa": "2"})
	if err != nil || len(got) != 2 || got[0].Name != "Aaa" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestUnitPropertyMistakes(t *testing.T) {
	for name, text := range map[string]string{
		"": "1", "Ab": "1", "With-Dash": "1", "Number1": "1",
		"Unparsable": "'", "TimeoutSec": "'five'", "NegativeSec": "-1",
	} {
		_, err := paperHost(Unified).New(Config{ID: "id", Driver: Systemd, Annotations: map[string]string{propertyPrefix + name: text}})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), propertyPrefix+name) {
			t.Errorf("%s=%s: %v, want ErrInvalidArgument naming the annotation", name, text, err)
		}
	}
	if _, err := paperHost(Unified).New(Config{ID: "id", Annotations: map[string]string{propertyPrefix + "x": "'"}}); err != nil {
		t.Errorf("the cgroupfs driver ignores them: %v", err)
	}
}

func FuzzUnitProperty(f *testing.F) {
	f.Add("TimeoutStopSec", "5")
	f.Add("After", "['a']")
	f.Add("Sec", "{'a': <1>}")
	f.Fuzz(func(t *testing.T, name, text string) {
		if p, err := unitProperty(name, text); err == nil && !propertyName.MatchString(p.Name) {
			t.Errorf("%q=%q gave %q", name, text, p.Name)
		}
	})
}

func needSystemd(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("systemd does not run here: no /run/systemd/system")
	}
}

func TestWithoutSystemdTheDriverSaysSo(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	h := detect(t)
	c, err := h.New(Config{ID: "id", Driver: Systemd})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	if fd, err := c.FD(); fd != -1 || err != nil {
		t.Errorf("FD before Attach: %d, %v", fd, err)
	}
	if err := c.Attach(os.Getpid()); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "cgroupfs") {
		t.Errorf("Attach: %v, want ErrFailedPrecondition that names the other driver", err)
	}
}

// TestSystemdScope is a container's life with the systemd driver.
func TestSystemdScope(t *testing.T) {
	needSystemd(t)
	h := detect(t)
	id := "t" + strconv.Itoa(os.Getpid())
	cfg := Config{
		ID: id, Path: "sardinetest.slice:sardine:" + id, Driver: Systemd,
		Resources: &specs.LinuxResources{
			Devices: []specs.LinuxDeviceCgroup{denyAll()},
			Memory:  &specs.LinuxMemory{Limit: pointer[int64](64 << 20)},
			CPU:     &specs.LinuxCPU{Shares: pointer[uint64](512), Quota: pointer[int64](50000), Period: pointer[uint64](100000)},
			Pids:    &specs.LinuxPids{Limit: pointer[int64](100)},
		},
		Annotations: map[string]string{propertyPrefix + "TimeoutStopSec": "7"},
	}
	c, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	p := startOutside(t)
	if err := c.Attach(p.Pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		destroy(t, c)
		_ = exec.Command("systemctl", "stop", "sardinetest.slice").Run()
	})
	if pids, err := c.Pids(); err != nil || !slices.Equal(pids, []int{p.Pid}) {
		t.Errorf("Pids: %v, %v", pids, err)
	}
	for property, want := range map[string]string{"MemoryMax": "67108864", "TasksMax": "100", "TimeoutStopUSec": "7s", "Slice": "sardinetest.slice"} {
		if h.Mode() != Unified && property == "MemoryMax" {
			property = "MemoryLimit"
		}
		if got := unitProp(t, c, property); got != want {
			t.Errorf("%s=%s, want %s", property, got, want)
		}
	}
	if got := accesses(t, c, "1:11"); got != "m" {
		t.Errorf("/dev/kmsg: %q allowed", got)
	}
	if err := c.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer[int64](200)}}); err != nil {
		t.Fatal(err)
	}
	if got := unitProp(t, c, "TasksMax"); got != "200" {
		t.Errorf("TasksMax after Update: %s", got)
	}
	if err := c.Freeze(context.Background()); err != nil {
		t.Error(err)
	}
	if frozen, err := c.Frozen(); err != nil || !frozen {
		t.Errorf("Frozen: %v, %v", frozen, err)
	}
}

func TestSystemdUnitExistsAlready(t *testing.T) {
	needSystemd(t)
	h := detect(t)
	cfg := Config{ID: "twice" + strconv.Itoa(os.Getpid()), Driver: Systemd}
	c, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := startOutside(t)
	if err := c.Attach(p.Pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, c) })
	again, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Create(); !errdefs.IsAlreadyExists(err) {
		t.Errorf("Create: %v, want ErrAlreadyExists", err)
	}
}

// startOutside starts a process in the test's own cgroup.
func startOutside(t *testing.T) *os.Process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"CGROUP_TEST_ROLE=sleep"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

func unitProp(t *testing.T, c *Cgroup, property string) string {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "-p", property, c.unit.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl show: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
