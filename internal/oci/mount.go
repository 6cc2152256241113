// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// mounts translates the mounts array, in order.
func (t *translation) mounts() error {
	for i := range t.spec.Mounts {
		if err := t.mount(&t.spec.Mounts[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *translation) mount(m *specs.Mount) error {
	field := "mount " + m.Destination
	for _, s := range append([]string{m.Destination, m.Source, m.Type}, m.Options...) {
		if err := checkText(field, s); err != nil {
			return err
		}
	}
	destination, err := t.destination(m.Destination)
	if err != nil {
		return err
	}
	o := parseMountOptions(m.Options)
	if m.Type == "bind" {
		o.bind = true
	}
	if o.remount {
		return unsupported("%s: option remount; give the options to the mount itself", field)
	}
	if err := checkProc(field, destination, m, &o); err != nil {
		return err
	}
	out := plan.Mount{
		Destination: destination, FD: plan.NoFD,
		Attr: o.attr, Recursive: o.rattr, Propagation: o.propagation,
	}
	if o.bind {
		return t.bind(field, m, &o, out)
	}
	return t.fresh(field, m, &o, out)
}

// destination cleans the path of a mount. Relative ones are deprecated but still
// sent: they start at the root.
func (t *translation) destination(s string) (string, error) {
	if s == "" {
		return "", invalid("mounts: a destination is empty")
	}
	if !path.IsAbs(s) {
		t.warn("mount %s: the destination is relative, which is deprecated; /%s is used", s, s)
	}
	clean := path.Clean("/" + s)
	if clean == "/" {
		return "", invalid("mount %s: cannot mount over the root of the container", s)
	}
	return clean, nil
}

// procFiles are the files of /proc that tools like lxcfs replace; anything else below
// /proc decides about security (attr/exec, sys) and must be the kernel's own.
var procFiles = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// checkProc refuses a mount that would let an image or a volume pose as /proc.
func checkProc(field, destination string, m *specs.Mount, o *mountOptions) error {
	if destination != "/proc" && !strings.HasPrefix(destination, "/proc/") {
		return nil
	}
	if slices.Contains(procFiles, destination) {
		return nil
	}
	if destination != "/proc" {
		return invalid("%s: it is inside /proc", field)
	}
	if !o.bind {
		if m.Type == "proc" {
			return nil
		}
		return invalid("%s: only proc can be mounted there, not %q", field, m.Type)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(m.Source, &st); err == nil && st.Type != unix.PROC_SUPER_MAGIC {
		return invalid("%s: the source %q is not a proc file system", field, m.Source)
	}
	return nil
}

// bind is a copy of a host directory or file. The kernel ignores options of the file
// system on a bind mount; they are refused rather than lost.
func (t *translation) bind(field string, m *specs.Mount, o *mountOptions, out plan.Mount) error {
	if len(o.data) > 0 {
		return invalid("%s: option %q cannot be applied to a bind mount", field, o.data[0].Key)
	}
	if o.copyUp {
		return invalid("%s: option tmpcopyup is for tmpfs", field)
	}
	if m.Source == "" {
		return invalid("%s: a bind mount needs a source", field)
	}
	source, info, err := t.source(m.Source)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound("%s: source %q does not exist", field, source)
	}
	if err != nil {
		return invalid("%s: source: %v", field, err)
	}
	mapping, err := t.bindMapping(field, m, o)
	if err != nil {
		return err
	}
	out.File = !info.IsDir()
	if out.Propagation == 0 {
		out.Propagation = t.bindPropagation()
	}
	t.addBind(out, launch.Bind{Source: source, Tree: t.opts.Trees[m.Source], Recursive: o.recursive, Mapping: mapping, MapAll: o.ridmap})
	return nil
}

// source is what a bind mount copies: a detached mount of that name, or a path.
func (t *translation) source(name string) (string, fs.FileInfo, error) {
	if tree := t.opts.Trees[name]; tree != nil {
		info, err := tree.Stat()
		return name, info, err
	}
	path := t.inBundle(name)
	info, err := os.Stat(path)
	return path, info, err
}

func (t *translation) addBind(m plan.Mount, b launch.Bind) {
	b.Mount = len(t.plan.Mounts)
	t.plan.Mounts = append(t.plan.Mounts, m)
	t.req.Binds = append(t.req.Binds, b)
}

// bindMapping is the id map of a bind mount: its own, or with idmap or ridmap alone
// the container's.
func (t *translation) bindMapping(field string, m *specs.Mount, o *mountOptions) (*rootfs.Mapping, error) {
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		own, err := mapping(field+": ", m.UIDMappings, m.GIDMappings)
		if err != nil {
			return nil, err
		}
		if len(own.UIDs) == 0 || len(own.GIDs) == 0 {
			return nil, invalid("%s: an idmapped mount needs both uidMappings and gidMappings", field)
		}
		return own, nil
	}
	if !o.idmap {
		return nil, nil
	}
	if !t.spaces.has(unix.CLONE_NEWUSER) {
		return nil, invalid("%s: option idmap needs uidMappings and gidMappings, or a user namespace to take them from", field)
	}
	container := t.containerMapping()
	if container == nil {
		return nil, unready("%s: the maps of the user namespace %q cannot be read; give the mount uidMappings and gidMappings",
			field, t.spaces[unix.CLONE_NEWUSER])
	}
	return container, nil
}

// fresh is a new file system.
func (t *translation) fresh(field string, m *specs.Mount, o *mountOptions, out plan.Mount) error {
	if m.Type == "" || m.Type == "none" {
		return invalid("%s: the type is %q and there is no option bind", field, m.Type)
	}
	if o.idmap || len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		return invalid("%s: id maps are for bind mounts", field)
	}
	if o.copyUp && m.Type != "tmpfs" {
		return invalid("%s: option tmpcopyup is for tmpfs, not %s", field, m.Type)
	}
	if out.Propagation == 0 {
		out.Propagation = t.freshPropagation()
	}
	if m.Type == "cgroup" {
		return t.cgroupMount(field, o, out)
	}
	out.FSType, out.Source, out.CopyUp = m.Type, m.Source, o.copyUp
	for _, flag := range t.superFlags(m, o) {
		out.Options = append(out.Options, plan.Pair{Key: flag})
	}
	out.Options = append(out.Options, o.data...)
	out.Options = append(out.Options, t.mountLabel(m.Type, o)...)
	t.plan.Mounts = append(t.plan.Mounts, out)
	return nil
}

// superFlags adds ro for a block device, whose journal would be replayed otherwise.
// Others get ro on the mount alone: their superblock may be shared (proc of a pid
// namespace, sysfs of a network namespace) or is about to be filled (tmpcopyup).
func (t *translation) superFlags(m *specs.Mount, o *mountOptions) []string {
	if o.attr.Set&unix.MOUNT_ATTR_RDONLY != 0 && path.IsAbs(m.Source) {
		return append([]string{"ro"}, o.super...)
	}
	return o.super
}

// mountLabel is the SELinux context of a new file system that keeps no labels itself.
func (t *translation) mountLabel(fstype string, o *mountOptions) []plan.Pair {
	given := slices.ContainsFunc(o.data, func(p plan.Pair) bool { return p.Key == "context" })
	switch fstype {
	case "proc", "sysfs", "mqueue", "cgroup2": // the policy labels these; a context is refused
		return nil
	}
	if t.linux.MountLabel == "" || given {
		return nil
	}
	if !t.opts.Host.SELinux {
		return nil
	}
	return []plan.Pair{{Key: "context", Value: t.linux.MountLabel}}
}

// cgroupMount is a mount of type cgroup: the container's view of its own cgroup.
func (t *translation) cgroupMount(field string, o *mountOptions, out plan.Mount) error {
	c := &t.opts.Cgroup
	own := t.spaces.has(unix.CLONE_NEWCGROUP)
	switch {
	case !c.Unified && len(c.Hierarchies) == 0:
		return unready("%s: no cgroup hierarchy is mounted on this host", field)
	case !c.Unified:
		out.FSType, out.Source, out.Cgroups = "cgroup", "cgroup", c.Hierarchies
	case own || !t.spaces.has(unix.CLONE_NEWUSER):
		// Without a cgroup namespace the whole hierarchy shows, which is what
		// /proc/self/cgroup then refers to.
		// Its superblock is the host's: options that are not repeated would be lost there.
		out.FSType, out.Source, out.Options = "cgroup2", "cgroup", o.data
	default:
		// A user namespace may mount cgroup2 only with a cgroup namespace of its own.
		out.Propagation = t.bindPropagation()
		t.addBind(out, launch.Bind{Source: c.Path})
		return nil
	}
	t.plan.Mounts = append(t.plan.Mounts, out)
	return nil
}
