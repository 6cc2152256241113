// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// WriteSysctl writes net/ipv4/ip_forward and the like, in the namespace of the calling thread: inside Do.
func WriteSysctl(name, value string) error { return writeSysctl("/proc/sys/"+name, value) }

// ReadSysctl reads what WriteSysctl writes, without white space around it.
func ReadSysctl(name string) (string, error) { return readSysctl("/proc/sys/" + name) }

// instanceUses is how often one instance of procfs is used: a walk through this many entries of the same name
// takes about 20 us.
const instanceUses = 64

// Sysctls reads and writes sysctls in the namespace of the calling thread, in a time that does not depend on the
// number of namespaces.
//
// The kernel remembers /proc/sys/net/ipv4 and ipv6 of each namespace under the same name and looks through all of them, 0.7 ms with a
// thousand pods, at each access. A Sysctls has an instance of procfs for itself and takes a new one before there are many.
type Sysctls struct {
	mu      sync.Mutex
	current *procfs
	closed  bool
}

// procfs is one instance, or the common one when root is "/proc".
type procfs struct {
	file *os.File // a detached mount
	root string
	uses int // left
	refs int // of those who use it now, and of Sysctls
}

// Write is WriteSysctl.
func (s *Sysctls) Write(name, value string) error {
	p := s.take()
	defer s.put(p)
	return writeSysctl(p.root+"/sys/"+name, value)
}

// Read is ReadSysctl.
func (s *Sysctls) Read(name string) (string, error) {
	p := s.take()
	defer s.put(p)
	return readSysctl(p.root + "/sys/" + name)
}

// Ensure writes only what is not there already: some sysctls do much when they are written. One that is missing is no error
// when value is "0", as those of IPv6 are in a kernel without it.
func (s *Sysctls) Ensure(name, value string) error {
	now, err := s.Read(name)
	if err == nil && now == value || errors.Is(err, fs.ErrNotExist) && value == "0" {
		return nil
	}
	return s.Write(name, value)
}

// Close drops the instance. What is used afterwards is the common one.
func (s *Sysctls) Close() {
	s.mu.Lock()
	p := s.current
	s.current, s.closed = nil, true
	s.mu.Unlock()
	s.put(p)
}

func (s *Sysctls) take() *procfs {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old *procfs
	if s.current != nil && s.current.uses == 0 {
		old, s.current = s.current, nil
		old.drop()
	}
	if s.closed {
		return &procfs{root: "/proc", refs: 1}
	}
	if s.current == nil {
		s.current = newProcfs()
	}
	s.current.uses--
	s.current.refs++
	return s.current
}

func (s *Sysctls) put(p *procfs) {
	if p == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.drop()
}

func (p *procfs) drop() {
	if p.refs--; p.refs == 0 && p.file != nil {
		p.file.Close()
	}
}

// newProcfs falls back to the common instance where mounting is not allowed.
func newProcfs() *procfs {
	p := &procfs{root: "/proc", uses: instanceUses, refs: 1}
	c, err := kernel.FSOpen("proc")
	if err != nil {
		return p
	}
	defer c.Close()
	fd, err := c.Mount(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return p
	}
	p.file = os.NewFile(uintptr(fd), "proc")
	p.root = "/proc/self/fd/" + strconv.Itoa(fd)
	return p
}

func writeSysctl(path, value string) error {
	f, err := kernel.Open(path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

func readSysctl(path string) (string, error) {
	f, err := kernel.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var buf [256]byte
	n, err := f.Read(buf[:])
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if n < len(buf) {
		return string(bytes.TrimSpace(buf[:n])), nil
	}
	rest, err := io.ReadAll(f)
	return strings.TrimSpace(string(buf[:]) + string(rest)), err
}
