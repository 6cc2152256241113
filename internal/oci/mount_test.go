// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// translate changes containerd's default spec and translates it.
func translate(t *testing.T, m mutation) (*launch.Request, []string) {
	t.Helper()
	spec, opts := readSpec(t, "containerd-default.json"), testOptions()
	m(spec, &opts)
	req, warnings, err := Translate(spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	return req, warnings
}

// lastMount is the mount that a test has added.
func lastMount(req *launch.Request) plan.Mount { return req.Plan.Mounts[len(req.Plan.Mounts)-1] }

// TestMountOptions has every option of config-linux.md's table.
func TestMountOptions(t *testing.T) {
	set := func(bits uint64) plan.Attr { return plan.Attr{Set: bits} }
	unset := func(bits uint64) plan.Attr { return plan.Attr{Clear: bits} }
	when := func(mode uint64) plan.Attr { return plan.Attr{Set: mode, Clear: unix.MOUNT_ATTR__ATIME} }
	super := func(flags ...string) mountOptions { return mountOptions{super: flags} }
	attr := func(a plan.Attr) mountOptions { return mountOptions{attr: a} }
	rattr := func(a plan.Attr) mountOptions { return mountOptions{rattr: a} }
	propagation := func(p uint64) mountOptions { return mountOptions{propagation: p} }
	data := func(pairs ...plan.Pair) mountOptions { return mountOptions{data: pairs} }
	for options, want := range map[string]mountOptions{
		"defaults":      {},
		"async":         {},
		"silent":        {},
		"loud":          {},
		"iversion":      {},
		"noiversion":    {},
		"nomand":        {},
		"nolazytime":    {},
		"bind":          {bind: true},
		"rbind":         {bind: true, recursive: true},
		"remount":       {remount: true},
		"tmpcopyup":     {copyUp: true},
		"idmap":         {idmap: true},
		"ridmap":        {idmap: true, ridmap: true},
		"sync":          super("sync"),
		"dirsync":       super("dirsync"),
		"mand":          super("mand"),
		"lazytime":      super("lazytime"),
		"sync async":    {super: []string{}},
		"ro":            attr(set(unix.MOUNT_ATTR_RDONLY)),
		"rw":            attr(unset(unix.MOUNT_ATTR_RDONLY)),
		"ro rw":         attr(unset(unix.MOUNT_ATTR_RDONLY)),
		"nosuid":        attr(set(unix.MOUNT_ATTR_NOSUID)),
		"suid":          attr(unset(unix.MOUNT_ATTR_NOSUID)),
		"nodev":         attr(set(unix.MOUNT_ATTR_NODEV)),
		"dev":           attr(unset(unix.MOUNT_ATTR_NODEV)),
		"noexec":        attr(set(unix.MOUNT_ATTR_NOEXEC)),
		"exec":          attr(unset(unix.MOUNT_ATTR_NOEXEC)),
		"nodiratime":    attr(set(unix.MOUNT_ATTR_NODIRATIME)),
		"diratime":      attr(unset(unix.MOUNT_ATTR_NODIRATIME)),
		"nosymfollow":   attr(set(unix.MOUNT_ATTR_NOSYMFOLLOW)),
		"symfollow":     attr(unset(unix.MOUNT_ATTR_NOSYMFOLLOW)),
		"noatime":       attr(when(unix.MOUNT_ATTR_NOATIME)),
		"atime":         attr(when(unix.MOUNT_ATTR_RELATIME)),
		"relatime":      attr(when(unix.MOUNT_ATTR_RELATIME)),
		"norelatime":    attr(when(unix.MOUNT_ATTR_RELATIME)),
		"strictatime":   attr(when(unix.MOUNT_ATTR_STRICTATIME)),
		"nostrictatime": attr(when(unix.MOUNT_ATTR_RELATIME)),
		"noatime strictatime nosuid": attr(plan.Attr{
			Set: unix.MOUNT_ATTR_STRICTATIME | unix.MOUNT_ATTR_NOSUID, Clear: unix.MOUNT_ATTR__ATIME,
		}),
		"rro":              rattr(set(unix.MOUNT_ATTR_RDONLY)),
		"rrw":              rattr(unset(unix.MOUNT_ATTR_RDONLY)),
		"rnosuid":          rattr(set(unix.MOUNT_ATTR_NOSUID)),
		"rsuid":            rattr(unset(unix.MOUNT_ATTR_NOSUID)),
		"rnodev":           rattr(set(unix.MOUNT_ATTR_NODEV)),
		"rdev":             rattr(unset(unix.MOUNT_ATTR_NODEV)),
		"rnoexec":          rattr(set(unix.MOUNT_ATTR_NOEXEC)),
		"rexec":            rattr(unset(unix.MOUNT_ATTR_NOEXEC)),
		"rnodiratime":      rattr(set(unix.MOUNT_ATTR_NODIRATIME)),
		"rdiratime":        rattr(unset(unix.MOUNT_ATTR_NODIRATIME)),
		"rrelatime":        rattr(when(unix.MOUNT_ATTR_RELATIME)),
		"rnorelatime":      rattr(when(unix.MOUNT_ATTR_RELATIME)),
		"rnoatime":         rattr(when(unix.MOUNT_ATTR_NOATIME)),
		"ratime":           rattr(when(unix.MOUNT_ATTR_RELATIME)),
		"rstrictatime":     rattr(when(unix.MOUNT_ATTR_STRICTATIME)),
		"rnostrictatime":   rattr(when(unix.MOUNT_ATTR_RELATIME)),
		"rnosymfollow":     rattr(set(unix.MOUNT_ATTR_NOSYMFOLLOW)),
		"rsymfollow":       rattr(unset(unix.MOUNT_ATTR_NOSYMFOLLOW)),
		"private":          propagation(unix.MS_PRIVATE),
		"rprivate":         propagation(unix.MS_PRIVATE | unix.MS_REC),
		"shared":           propagation(unix.MS_SHARED),
		"rshared":          propagation(unix.MS_SHARED | unix.MS_REC),
		"slave":            propagation(unix.MS_SLAVE),
		"rslave":           propagation(unix.MS_SLAVE | unix.MS_REC),
		"unbindable":       propagation(unix.MS_UNBINDABLE),
		"runbindable":      propagation(unix.MS_UNBINDABLE | unix.MS_REC),
		"size=64k":         data(plan.Pair{Key: "size", Value: "64k"}),
		"newinstance":      data(plan.Pair{Key: "newinstance"}),
		"mode=755,size=1":  data(plan.Pair{Key: "mode", Value: "755"}, plan.Pair{Key: "size", Value: "1"}),
		`context="a:s0,c"`: data(plan.Pair{Key: "context", Value: "a:s0,c"}),
		`lowerdir=/a\,b`:   data(plan.Pair{Key: "lowerdir", Value: `/a\,b`}),
	} {
		if got := parseMountOptions(strings.Fields(options)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", options, got, want)
		}
	}
}

func TestBind(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bundle := func(_ *specs.Spec, o *Options) { o.Bundle = dir }
	req, warnings := translate(t, both(bundle, mount(specs.Mount{
		Destination: "relative", Type: "none", Source: "file", Options: []string{"rbind", "ro", "sync"},
	})))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "/relative is used") {
		t.Errorf("warnings: %q", warnings)
	}
	m, b := lastMount(req), req.Binds[0]
	want := plan.Mount{
		Destination: "/relative", FD: plan.NoFD, File: true, Attr: plan.Attr{Set: unix.MOUNT_ATTR_RDONLY},
		Propagation: unix.MS_SLAVE | unix.MS_REC,
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v\nwant %+v", m, want)
	}
	if b.Source != filepath.Join(dir, "file") || !b.Recursive || b.Mount != len(req.Plan.Mounts)-1 {
		t.Errorf("bind %+v", b)
	}
}

// TestRootPropagation: the copy of the host's tree is never shared, and binds without
// an option follow the container's root.
func TestRootPropagation(t *testing.T) {
	for name, want := range map[string][4]uint64{ // tree, root afterwards, bind, tmpfs
		"":           {unix.MS_SLAVE, 0, unix.MS_SLAVE | unix.MS_REC, 0},
		"rslave":     {unix.MS_SLAVE, unix.MS_SLAVE, unix.MS_SLAVE | unix.MS_REC, 0},
		"private":    {unix.MS_PRIVATE, unix.MS_PRIVATE, unix.MS_PRIVATE | unix.MS_REC, 0},
		"rshared":    {unix.MS_SLAVE, unix.MS_SHARED, unix.MS_SHARED | unix.MS_REC, unix.MS_SHARED},
		"unbindable": {unix.MS_SLAVE, unix.MS_UNBINDABLE, unix.MS_SLAVE | unix.MS_REC, 0},
	} {
		req, _ := translate(t, both(
			onLinux(func(l *specs.Linux) { l.RootfsPropagation = name }), tmpfs(),
			mount(specs.Mount{Destination: "/e", Type: "bind", Source: "/etc"}),
		))
		mounts := req.Plan.Mounts
		got := [4]uint64{
			req.Plan.Root.Propagation &^ unix.MS_REC, req.Plan.Root.After,
			mounts[len(mounts)-1].Propagation, mounts[len(mounts)-2].Propagation,
		}
		if got != want {
			t.Errorf("%q: %#x, want %#x", name, got, want)
		}
		if req.Plan.Root.Propagation&unix.MS_REC == 0 {
			t.Errorf("%q: the tree's submounts are forgotten", name)
		}
	}
}

func TestIDMappedBinds(t *testing.T) {
	own := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 5000, Size: 3}}
	ours := &rootfs.Mapping{UIDs: []rootfs.IDMap{{Outside: 5000, Size: 3}}, GIDs: []rootfs.IDMap{{Outside: 5000, Size: 3}}}
	container := &rootfs.Mapping{UIDs: []rootfs.IDMap{{Outside: 1000, Size: 10}}, GIDs: []rootfs.IDMap{{Outside: 1000, Size: 10}}}
	for _, test := range []struct {
		name   string
		mutate mutation
		want   *rootfs.Mapping
		all    bool
	}{
		{"none", mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc"}), nil, false},
		{"own", mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", UIDMappings: own, GIDMappings: own}), ours, false},
		{"own, recursive", mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", Options: []string{"ridmap"}, UIDMappings: own, GIDMappings: own}), ours, true},
		{"container's", both(userNamespace, mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/etc", Options: []string{"idmap"}})), container, false},
	} {
		req, _ := translate(t, test.mutate)
		b := req.Binds[len(req.Binds)-1]
		if !reflect.DeepEqual(b.Mapping, test.want) || b.MapAll != test.all {
			t.Errorf("%s: %+v, all %v", test.name, b.Mapping, b.MapAll)
		}
	}
}

func TestSnapshotMapping(t *testing.T) {
	options := []string{"lowerdir=/l", "uidmap=0:1000:5,5:2000:5", "gidmap=0:3000:10", "userxattr"}
	req, _ := translate(t, func(_ *specs.Spec, o *Options) { o.Rootfs = []rootfs.Mount{{Type: "overlay", Options: options}} })
	want := &rootfs.Mapping{
		UIDs: []rootfs.IDMap{{Inside: 0, Outside: 1000, Size: 5}, {Inside: 5, Outside: 2000, Size: 5}},
		GIDs: []rootfs.IDMap{{Inside: 0, Outside: 3000, Size: 10}},
	}
	if !reflect.DeepEqual(req.RootMapping, want) {
		t.Errorf("got %+v", req.RootMapping)
	}
	if got := req.Rootfs[0].Options; !slices.Equal(got, []string{"lowerdir=/l", "userxattr"}) {
		t.Errorf("options %q", got)
	}
	if len(options) != 4 || options[1] == "userxattr" {
		t.Errorf("the snapshotter's list was changed: %q", options)
	}
}

func TestDirectoryRoot(t *testing.T) {
	dir := t.TempDir()
	req, _ := translate(t, func(s *specs.Spec, o *Options) {
		o.Rootfs, o.Bundle, s.Root.Path = nil, filepath.Dir(dir), filepath.Base(dir)
	})
	want := []rootfs.Mount{{Type: "bind", Source: dir, Options: []string{"rbind"}}}
	if !reflect.DeepEqual(req.Rootfs, want) {
		t.Errorf("got %+v", req.Rootfs)
	}
}

func TestCgroupMounts(t *testing.T) {
	cgroupMount := mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
	unified := func(_ *specs.Spec, o *Options) { o.Cgroup = Cgroup{Unified: true, Path: "/sys/fs/cgroup/c1"} }
	for _, test := range []struct {
		name   string
		mutate mutation
		fstype string
		bind   bool
	}{
		{"v1", cgroupMount, "cgroup", false},
		{"v2", both(unified, cgroupMount), "cgroup2", false},
		{"v2, own namespace", both(unified, namespace(specs.CgroupNamespace, ""), userNamespace, cgroupMount), "cgroup2", false},
		{"v2, user namespace only", both(unified, without(specs.CgroupNamespace), userNamespace, cgroupMount), "", true},
	} {
		if test.name == "v2, own namespace" {
			test.mutate = both(without(specs.CgroupNamespace), test.mutate)
		}
		req, _ := translate(t, test.mutate)
		m := lastMount(req)
		if m.FSType != test.fstype || (len(req.Binds) == 1) != test.bind || m.Attr.Set != unix.MOUNT_ATTR_RDONLY {
			t.Errorf("%s: %+v, binds %+v", test.name, m, req.Binds)
		}
		if test.fstype == "cgroup" && len(m.Cgroups) != 2 {
			t.Errorf("%s: hierarchies %v", test.name, m.Cgroups)
		}
		if test.bind && req.Binds[0].Source != "/sys/fs/cgroup/c1" {
			t.Errorf("%s: %+v", test.name, req.Binds[0])
		}
	}
}

// TestSuperblockFlags: ro reaches the file system only on a block device.
func TestSuperblockFlags(t *testing.T) {
	for _, test := range []struct {
		mount specs.Mount
		want  []plan.Pair
	}{
		{specs.Mount{Type: "ext4", Source: "/dev/sdb", Options: []string{"ro", "sync", "errors=panic"}}, []plan.Pair{{Key: "ro"}, {Key: "sync"}, {Key: "errors", Value: "panic"}}},
		{specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "tmpcopyup"}}, nil},
	} {
		test.mount.Destination = "/x"
		req, _ := translate(t, mount(test.mount))
		if m := lastMount(req); !reflect.DeepEqual(m.Options, test.want) || m.Attr.Set != unix.MOUNT_ATTR_RDONLY {
			t.Errorf("%s: %+v", test.mount.Type, m)
		}
	}
}

func TestMountLabel(t *testing.T) {
	label := both(
		onLinux(func(l *specs.Linux) { l.MountLabel = "system_u:object_r:container_file_t:s0:c1,c2" }),
		func(_ *specs.Spec, o *Options) { o.Host.SELinux = true },
	)
	req, _ := translate(t, label)
	for _, m := range req.Plan.Mounts {
		labelled := slices.Contains(m.Options, plan.Pair{Key: "context", Value: "system_u:object_r:container_file_t:s0:c1,c2"})
		if want := m.FSType == "tmpfs" || m.FSType == "devpts"; labelled != want {
			t.Errorf("%s on %s: %+v", m.FSType, m.Destination, m.Options)
		}
	}
	req, _ = translate(t, both(label, func(_ *specs.Spec, o *Options) { o.Host.SELinux = false }))
	for _, m := range req.Plan.Mounts {
		if slices.ContainsFunc(m.Options, func(p plan.Pair) bool { return p.Key == "context" }) {
			t.Errorf("%s is labelled without SELinux", m.Destination)
		}
	}
}

func TestProcMounts(t *testing.T) {
	req, _ := translate(t, both(
		mount(specs.Mount{Destination: "/proc/cpuinfo", Type: "bind", Source: "/etc/passwd"}),
		mount(specs.Mount{Destination: "/proc", Type: "bind", Source: "/proc", Options: []string{"rbind"}}),
	))
	if len(req.Binds) != 2 {
		t.Errorf("binds %+v", req.Binds)
	}
}

func TestDevices(t *testing.T) {
	mode := os.FileMode(0o600)
	uid := uint32(7)
	fuse := specs.LinuxDevice{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: &uid}
	null := specs.LinuxDevice{Path: "/dev/./null", Type: "u", Major: 1, Minor: 3, FileMode: &mode}
	add := both(device(null), device(specs.LinuxDevice{Path: "/dev/fifo", Type: "p"}))
	req, _ := translate(t, both(add, device(fuse), device(fuse)))
	devices := map[string]plan.Device{}
	for _, d := range req.Plan.Devices {
		if _, ok := devices[d.Path]; ok {
			t.Errorf("%s twice", d.Path)
		}
		devices[d.Path] = d
	}
	for path, want := range map[string]plan.Device{
		"/dev/fuse": {Path: "/dev/fuse", Mode: unix.S_IFCHR | 0o600, Number: unix.Mkdev(10, 229), UID: 7, FD: plan.NoFD},
		"/dev/null": {Path: "/dev/null", Mode: unix.S_IFCHR | 0o600, Number: unix.Mkdev(1, 3), FD: plan.NoFD},
		"/dev/fifo": {Path: "/dev/fifo", Mode: unix.S_IFIFO | 0o666, FD: plan.NoFD},
		"/dev/tty":  {Path: "/dev/tty", Mode: unix.S_IFCHR | 0o666, Number: unix.Mkdev(5, 0), FD: plan.NoFD},
	} {
		if devices[path] != want {
			t.Errorf("%s: %+v, want %+v", path, devices[path], want)
		}
	}
	if len(req.DeviceNodes) != 0 {
		t.Errorf("host nodes without a user namespace: %v", req.DeviceNodes)
	}

	req, _ = translate(t, both(userNamespace, add))
	for i, d := range req.Plan.Devices {
		if fifo := d.Path == "/dev/fifo"; (req.DeviceNodes[i] == "") != fifo {
			t.Errorf("%s is bound from %q", d.Path, req.DeviceNodes[i])
		}
	}
}

// TestHostDev: nothing is made in a /dev that belongs to the host.
func TestHostDev(t *testing.T) {
	req, _ := translate(t, mount(specs.Mount{Destination: "/dev/", Type: "bind", Source: "/dev", Options: []string{"rbind"}}))
	if len(req.Plan.Devices)+len(req.Plan.Links) != 0 {
		t.Errorf("devices %v, links %v", req.Plan.Devices, req.Plan.Links)
	}
}
