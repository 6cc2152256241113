// SPDX-License-Identifier: Apache-2.0

package oci

import "golang.org/x/sys/unix"

// propagations are the propagation options of mount(8), as mount(2) flags.
var propagations = map[string]uint64{
	"private":     unix.MS_PRIVATE,
	"rprivate":    unix.MS_PRIVATE | unix.MS_REC,
	"shared":      unix.MS_SHARED,
	"rshared":     unix.MS_SHARED | unix.MS_REC,
	"slave":       unix.MS_SLAVE,
	"rslave":      unix.MS_SLAVE | unix.MS_REC,
	"unbindable":  unix.MS_UNBINDABLE,
	"runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// rootPropagation is linux.rootfsPropagation, 0 when not given.
func (t *translation) rootPropagation() (uint64, error) {
	name := t.linux.RootfsPropagation
	p, ok := propagations[name]
	if !ok && name != "" {
		return 0, invalid("linux.rootfsPropagation: unknown value %q", name)
	}
	return p, nil
}

// bindPropagation is what a bind mount without a propagation option gets: what it
// would have inherited from a tree with linux.rootfsPropagation. Slave is the
// default, since a copy of a mount of the host is otherwise a peer of it.
func (t *translation) bindPropagation() uint64 {
	p, _ := t.rootPropagation() // checked in root
	if p == 0 || p&unix.MS_UNBINDABLE != 0 {
		p = unix.MS_SLAVE
	}
	return p | unix.MS_REC
}

// freshPropagation is what a new file system without a propagation option gets: it
// has no peer, so only sharing makes a difference.
func (t *translation) freshPropagation() uint64 {
	p, _ := t.rootPropagation() // checked in root
	return p & unix.MS_SHARED
}
