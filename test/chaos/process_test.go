// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// runsWith tells whether a process lives whose command line has text in it.
func runsWith(pid int, text string) bool {
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // nothing of a zombie
	return bytes.Contains(args, []byte(text))
}

// processesWith returns the processes in containers whose command line has text in it: neither this one nor its
// children of the host.
func processesWith(text string) []string {
	own, _ := os.Readlink("/proc/self/ns/mnt")
	return processes(text, func(dir string) bool {
		ns, err := os.Readlink(dir + "/ns/mnt")
		return err == nil && ns != own
	})
}

// commandsWith returns the processes, wherever they are, whose command line has text in it. Words end with a zero.
func commandsWith(text string) []string {
	return processes(text, func(string) bool { return true })
}

func processes(text string, wanted func(dir string) bool) (found []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !runsWith(pid, text) || !wanted(dir) {
			continue
		}
		args, _ := os.ReadFile(dir + "/cmdline")
		found = append(found, fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(bytes.ReplaceAll(args, []byte{0}, []byte{' '})))))
	}
	return found
}
