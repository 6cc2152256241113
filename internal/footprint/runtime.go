// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// RuntimeTime is the processor time used so far by a daemon, by its helper
// processes (see Take), and by all processes that any of these has waited for:
// runc and the commands of execs among them. The time of the containers' first
// processes is not in it, nor is that of processes which ended where nobody
// waited for them but the first process of the node.
func RuntimeTime(daemon int, containers []int) (time.Duration, error) {
	parents, err := processTable()
	if err != nil {
		return 0, err
	}
	own, children, err := processTimes(daemon)
	if err != nil {
		return 0, fmt.Errorf("times of process %d: %w", daemon, err)
	}
	sum := own + children
	for _, pid := range helpers(parents, daemon, containers) {
		own, children, err := processTimes(pid)
		if gone(err) {
			continue // and counted with its parent's children
		}
		if err != nil {
			return 0, fmt.Errorf("times of process %d: %w", pid, err)
		}
		sum += own + children
	}
	return sum, nil
}

// gone is what reading a file of /proc/PID says of a process that has ended:
// one error when it is opened, another when it was open already.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }
