// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Sample is the state of a node at one moment.
type Sample struct {
	Available   int64 `json:"availableKB"`   // MemAvailable, kernel memory and caches considered
	DaemonRSS   int64 `json:"daemonRSSKB"`   // resident memory of the daemon, shared pages in full
	HelperPSS   int64 `json:"helperPSSKB"`   // the daemon's helper processes (shims), shared pages divided
	Helpers     int   `json:"helpers"`       // number of those processes
	Mounts      int   `json:"mounts"`        // entries of the daemon's mount table
	Processes   int   `json:"processes"`     // processes on the node
	DaemonFiles int   `json:"daemonFiles"`   // open descriptors of the daemon
	Threads     int   `json:"daemonThreads"` // threads of the daemon
}

// Take samples the node. containers are the first processes of running
// containers: they, and what they started, are the payload and not counted as
// helpers. A process that ends meanwhile is left out.
func Take(daemon int, containers []int) (Sample, error) {
	var s Sample
	var errs [5]error
	s.Available, errs[0] = memAvailable()
	s.DaemonRSS, errs[1] = statusKB(daemon, "VmRSS")
	s.Mounts, errs[2] = mounts(daemon)
	s.DaemonFiles, errs[3] = entries(daemon, "fd")
	s.Threads, errs[4] = entries(daemon, "task")
	if err := errors.Join(errs[:]...); err != nil {
		return s, fmt.Errorf("sample process %d: %w", daemon, err)
	}
	parents, err := processTable()
	if err != nil {
		return s, err
	}
	s.Processes = len(parents)
	for _, pid := range helpers(parents, daemon, containers) {
		// Gone since the table was read: no memory either.
		if kb, err := pss(pid); err == nil {
			s.HelperPSS += kb
			s.Helpers++
		}
	}
	return s, nil
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
