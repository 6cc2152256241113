// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// DiscardProgram gives back the memory that holds the unchanged parts of the running program's file: its code
// and constants. What is used again is mapped again, without reading the disk as long as
// it is in the page cache: madvise(2), MADV_DONTNEED on a private file mapping that is not
// writable.
func DiscardProgram() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	var errs []error
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		start, size, ok := programRange(lines.Text(), self)
		if !ok {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, size, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, wrap("madvise", self, errno))
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}

// programRange parses a line of proc_pid_maps(5): "55d0-55e0 r-xp 00001000 08:01 1234   /path".
func programRange(line, path string) (start, size uintptr, ok bool) {
	var end uintptr
	var permissions string
	if !strings.HasSuffix(line, " "+path) {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &permissions); err != nil {
		return 0, 0, false
	}
	return start, end - start, end > start && len(permissions) == 4 && permissions[1] == '-' && permissions[3] == 'p'
}
