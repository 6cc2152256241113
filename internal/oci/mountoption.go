// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// mountOptions are the options of one mount, sorted by what they apply to.
type mountOptions struct {
	bind        bool
	recursive   bool // rbind
	remount     bool
	copyUp      bool
	idmap       bool
	ridmap      bool
	attr        plan.Attr
	rattr       plan.Attr
	propagation uint64
	super       []string    // flags of the file system, as fsconfig(2) knows them
	data        []plan.Pair // everything else: options of the file system type
}

// attribute is a MOUNT_ATTR_* bit that an option sets or clears.
type attribute struct {
	bit   uint64
	clear bool
}

// attributes are options of the mount itself; with an "r" in front they apply to the
// whole tree.
var attributes = map[string]attribute{
	"ro":          {unix.MOUNT_ATTR_RDONLY, false},
	"rw":          {unix.MOUNT_ATTR_RDONLY, true},
	"nosuid":      {unix.MOUNT_ATTR_NOSUID, false},
	"suid":        {unix.MOUNT_ATTR_NOSUID, true},
	"nodev":       {unix.MOUNT_ATTR_NODEV, false},
	"dev":         {unix.MOUNT_ATTR_NODEV, true},
	"noexec":      {unix.MOUNT_ATTR_NOEXEC, false},
	"exec":        {unix.MOUNT_ATTR_NOEXEC, true},
	"nodiratime":  {unix.MOUNT_ATTR_NODIRATIME, false},
	"diratime":    {unix.MOUNT_ATTR_NODIRATIME, true},
	"nosymfollow": {unix.MOUNT_ATTR_NOSYMFOLLOW, false},
	"symfollow":   {unix.MOUNT_ATTR_NOSYMFOLLOW, true},
}

// accessTimes are the options that choose one of the kernel's three ways to keep
// access times; undoing one means relatime, the kernel's default.
var accessTimes = map[string]attribute{
	"noatime":       {unix.MOUNT_ATTR_NOATIME, false},
	"atime":         {unix.MOUNT_ATTR_NOATIME, true},
	"strictatime":   {unix.MOUNT_ATTR_STRICTATIME, false},
	"nostrictatime": {unix.MOUNT_ATTR_STRICTATIME, true},
	"relatime":      {unix.MOUNT_ATTR_RELATIME, false},
	"norelatime":    {unix.MOUNT_ATTR_RELATIME, true},
}

// superFlags are flags of the file system and their opposites. A bind mount cannot
// change them: mount(2) ignores them there too.
var superFlags = map[string]string{
	"sync": "async", "dirsync": "", "mand": "nomand", "lazytime": "nolazytime",
}

// ignored are options with no effect of their own: the first is mount(8)'s word for
// none, the next two were about kernel messages, and since Linux 6.0 every file
// system that has i_version counts it.
var ignored = []string{"defaults", "silent", "loud", "iversion", "noiversion"}

// parseMountOptions sorts options; a later one overrides an earlier one.
func parseMountOptions(options []string) mountOptions {
	var o mountOptions
	for _, s := range options {
		if o.special(s) || o.attribute(s) || o.superFlag(s) || slices.Contains(ignored, s) {
			continue
		}
		if p, ok := propagations[s]; ok {
			o.propagation = p
			continue
		}
		for _, part := range splitOptions(s) {
			key, value, _ := strings.Cut(part, "=")
			o.data = append(o.data, plan.Pair{Key: key, Value: unquote(value)})
		}
	}
	return o
}

func (o *mountOptions) special(s string) bool {
	switch s {
	case "bind":
		o.bind = true
	case "rbind":
		o.bind, o.recursive = true, true
	case "remount":
		o.remount = true
	case "tmpcopyup":
		o.copyUp = true
	case "idmap":
		o.idmap = true
	case "ridmap":
		o.idmap, o.ridmap = true, true
	default:
		return false
	}
	return true
}

func (o *mountOptions) attribute(s string) bool {
	if setAttribute(&o.attr, s) {
		return true
	}
	// "rw" and "ro" were taken above; no other name collides with a recursive one.
	name, recursive := strings.CutPrefix(s, "r")
	return recursive && setAttribute(&o.rattr, name)
}

func setAttribute(a *plan.Attr, name string) bool {
	if f, ok := attributes[name]; ok {
		a.Set &^= f.bit
		a.Clear &^= f.bit
		if f.clear {
			a.Clear |= f.bit
		} else {
			a.Set |= f.bit
		}
		return true
	}
	f, ok := accessTimes[name]
	if !ok {
		return false
	}
	mode := f.bit
	if f.clear {
		mode = unix.MOUNT_ATTR_RELATIME
	}
	// mount_setattr(2): a mode can only be set together with clearing all of them.
	a.Set = a.Set&^unix.MOUNT_ATTR__ATIME | mode
	a.Clear |= unix.MOUNT_ATTR__ATIME
	return true
}

func (o *mountOptions) superFlag(s string) bool {
	if _, ok := superFlags[s]; ok {
		o.super = append(o.super, s)
		return true
	}
	for flag, opposite := range superFlags {
		if s == opposite && s != "" {
			o.super = slices.DeleteFunc(o.super, func(have string) bool { return have == flag })
			return true
		}
	}
	return false
}

// splitOptions cuts "a=1,b=2" as the kernel does, not inside quotes and not after a
// backslash: an SELinux context has commas, and so may a layer's path.
func splitOptions(s string) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	parts = append(parts, s[start:])
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
