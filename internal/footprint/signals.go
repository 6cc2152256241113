// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Catches says whether a process has a handler for a signal (SigCgt of
// /proc/PID/status, proc(5)).
func Catches(pid int, signal syscall.Signal) (bool, error) {
	file, err := os.Open(path(pid, "status"))
	if err != nil {
		return false, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		mask, found := bytes.CutPrefix(lines.Bytes(), []byte("SigCgt:"))
		if !found {
			continue
		}
		caught, err := strconv.ParseUint(string(bytes.TrimSpace(mask)), 16, 64)
		if err != nil {
			return false, fmt.Errorf("%s: %w", path(pid, "status"), err)
		}
		return caught&(1<<(signal-1)) != 0, nil
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	return false, fmt.Errorf("%s: no line SigCgt", path(pid, "status"))
}
