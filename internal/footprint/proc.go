// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

func statusKB(pid int, key string) (int64, error) { return fileKB(path(pid, "status"), key) }

// pss is the proportional set size: each page divided by the number of
// processes that map it (proc(5), smaps_rollup, Linux 4.14).
func pss(pid int) (int64, error) { return rollupKB(pid, "Pss") }

// anonymous is what a process has for itself: heap and stacks; nothing when it
// is gone. RssAnon of /proc/PID/status would be quicker to read, but the kernel
// counts for each CPU by itself, and for small processes the sum is far off.
func anonymous(pid int) int64 {
	kb, err := rollupKB(pid, "Anonymous")
	if err != nil {
		return 0
	}
	return kb
}

func rollupKB(pid int, key string) (int64, error) { return fileKB(path(pid, "smaps_rollup"), key) }

func mounts(pid int) (int, error) {
	table, err := os.ReadFile(path(pid, "mountinfo"))
	return bytes.Count(table, []byte("\n")), err
}

func entries(pid int, dir string) (int, error) {
	list, err := os.ReadDir(path(pid, dir))
	return len(list), err
}

func path(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

func fileKB(name, key string) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	kb, err := findKB(file, key)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return kb, nil
}

// findKB reads a line of the form "Key:   123 kB".
func findKB(r io.Reader, key string) (int64, error) {
	prefix := []byte(key + ":")
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, found := bytes.CutPrefix(lines.Bytes(), prefix)
		if !found {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			break
		}
		return strconv.ParseInt(string(fields[0]), 10, 64)
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("no line %s", key)
}
