// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
)

// StorePrefix begins the names of what is kept in the store: the reading ends of a container's FIFOs.
const StorePrefix = "log/"

// readers are descriptors of FIFOs that an earlier daemon has left in the store.
type readers map[fifoID]int

// takeReaders returns what is kept for the container id. The originals stay in the store.
func (h *Hub) takeReaders(id string) readers {
	kept := readers{}
	for _, f := range h.store.Take(StorePrefix + id) {
		if err := kept.add(f); err != nil {
			h.log.Warn("the output of a container that an earlier daemon has kept", "id", id, "error", err)
		}
		f.Close()
	}
	return kept
}

var errNoFIFO = errors.New("it is not a FIFO")

func (k readers) add(f *os.File) error {
	own, err := kernel.DupFD(int(f.Fd()))
	if err != nil {
		return err
	}
	st, err := kernel.Stat(own)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFIFO {
		err = errNoFIFO
	}
	if err == nil { // whoever held it in between may have seen to that
		err = kernel.SetNonblock(own, true)
	}
	if err != nil {
		unix.Close(own)
		return err
	}
	k[fifoID{st.Dev, st.Ino}] = own
	return nil
}

// take hands over the descriptor of the FIFO path, -1 if there is none.
func (k readers) take(path string) int {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return -1
	}
	id := fifoID{st.Dev, st.Ino}
	fd, ok := k[id]
	if !ok {
		return -1
	}
	delete(k, id)
	return fd
}

func (k readers) close() {
	for _, fd := range k {
		unix.Close(fd)
	}
}

// keep has the store hold the container's FIFOs: what is printed waits in them then when the container ends
// while no daemon runs. A container runs on without that.
func (c *container) keep() {
	if c.hub.store == nil {
		return
	}
	files, err := c.duplicates()
	if err == nil {
		err = c.hub.store.Put(StorePrefix+c.id, files...)
	}
	for _, f := range files {
		f.Close()
	}
	c.stored = err == nil
	if err != nil {
		c.hub.log.Warn("output of a container is lost if it ends while no daemon runs", "id", c.id, "error", err)
	}
}

func (c *container) duplicates() (files []*os.File, err error) {
	for i := range c.streams {
		s := &c.streams[i]
		if s.fd < 0 {
			continue
		}
		fd, err := kernel.DupFD(s.fd)
		if err != nil {
			return files, err
		}
		files = append(files, os.NewFile(uintptr(fd), s.name))
	}
	return files, nil
}

// forget has the store let go of the FIFOs: all of what they held was read, or is of no use to anybody. io is held.
func (c *container) forget() {
	if c.stored {
		c.hub.store.Remove(StorePrefix + c.id)
		_ = fault.Point(fault.LogForget) // to be killed there
	}
	c.stored = false
}
