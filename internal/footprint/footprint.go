// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Sample is the state of a node at one moment. Memory is in KB.
type Sample struct {
	Memory
	DaemonRSS   int64 `json:"daemonRSSKB"`   // resident memory of the daemon, shared pages in full
	DaemonPSS   int64 `json:"daemonPSSKB"`   // shared pages divided
	DaemonHeap  int64 `json:"daemonHeapKB"`  // its anonymous memory: heap and stacks, nothing of a file
	HelperPSS   int64 `json:"helperPSSKB"`   // the daemon's helper processes (shims, pause), shared pages divided
	Helpers     int   `json:"helpers"`       // number of those processes
	Others      int64 `json:"othersKB"`      // anonymous memory of all processes but the daemon, its helpers and the containers
	Mounts      int   `json:"mounts"`        // entries of the daemon's mount table
	Processes   int   `json:"processes"`     // processes on the node
	DaemonFiles int   `json:"daemonFiles"`   // open descriptors of the daemon
	Threads     int   `json:"daemonThreads"` // threads of the daemon
}

var errNoAvailable = errors.New("/proc/meminfo: no line MemAvailable")

// Take samples the node. containers are the first processes of running
// containers: they, and what they started, are the payload and not counted as
// helpers. A process that ends meanwhile is left out. A daemon of 0 is none,
// and then there are no helpers.
func Take(daemon int, containers []int) (s Sample, err error) {
	if s.Memory, err = readMemory(); err != nil {
		return s, err
	}
	parents, err := processTable()
	if err != nil {
		return s, err
	}
	s.Processes = len(parents)
	s.Others = s.Anonymous
	for _, pid := range containers {
		s.Others -= anonymous(pid)
	}
	if daemon == 0 {
		return s, nil
	}
	if err := s.takeDaemon(daemon); err != nil {
		return s, fmt.Errorf("sample process %d: %w", daemon, err)
	}
	for _, pid := range helpers(parents, daemon, containers) {
		// Gone since the table was read: no memory either.
		if kb, err := pss(pid); err == nil {
			s.HelperPSS += kb
			s.Helpers++
			s.Others -= anonymous(pid)
		}
	}
	return s, nil
}

func (s *Sample) takeDaemon(pid int) error {
	var errs [6]error
	s.DaemonRSS, errs[0] = statusKB(pid, "VmRSS")
	s.DaemonPSS, errs[1] = pss(pid)
	s.DaemonHeap, errs[2] = rollupKB(pid, "Anonymous")
	s.Mounts, errs[3] = mounts(pid)
	s.DaemonFiles, errs[4] = entries(pid, "fd")
	s.Threads, errs[5] = entries(pid, "task")
	s.Others -= s.DaemonHeap
	return errors.Join(errs[:]...)
}

// DaemonOf returns the process listening on a unix socket: the kernel notes it
// at listen(2). Under socket activation that is the service manager.
func DaemonOf(socket string) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, fmt.Errorf("connect to %s: %w", socket, err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, fmt.Errorf("peer of %s: %w", socket, credErr)
	}
	return int(cred.Pid), nil
}
