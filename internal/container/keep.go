// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"

	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/fdstore"
)

// keptPrefix begins the names of what the containers keep in the store.
const keptPrefix = "task/"

// Roles of descriptors, beside those of streams.
const (
	// roleControl is the control socket of a process that waits for Start.
	roleControl = "control"
	// rolePidfd is the pidfd of a process whose exit status only the kernel remembers.
	rolePidfd = "pidfd"
)

// shelf keeps descriptors of one process for a later daemon, as stdio.Keeper.
type shelf struct {
	store *fdstore.Store
	name  string // followed by a role
}

func (c *Container) shelf(p *process) shelf {
	return shelf{c.manager.Store, keptPrefix + c.namespace + "/" + c.id + "/" + p.id + "/"}
}

// Keep keeps files. A process is worth more than that it outlives the daemon in every respect:
// trouble is logged.
func (s shelf) Keep(role string, files ...*os.File) { s.keep(role, files...) }

// keep is Keep, and reports whether a later daemon will find them.
func (s shelf) keep(role string, files ...*os.File) bool {
	err := s.store.Put(s.name+role, files...)
	if err != nil {
		log.L.WithError(err).Warn("descriptors of a container will be lost when the daemon ends")
	}
	_ = fault.Point(fault.Name("container.keep." + role)) // there is no error to be returned
	return err == nil && s.store.Kind() != fdstore.None
}

func (s shelf) Take(role string) []*os.File { return s.store.Take(s.name + role) }

func (s shelf) Drop(role string) { s.store.Remove(s.name + role) }

// takeOne is Take for a role that has one descriptor, nil if it is not kept.
func (s shelf) takeOne(role string) *os.File {
	files := s.Take(role)
	if len(files) == 0 {
		return nil
	}
	for _, f := range files[1:] {
		f.Close()
	}
	return files[0]
}
