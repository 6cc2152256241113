// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// processes adds what is only known by looking at each process.
func (v *values) processes(c *Container) {
	list := pids(c)
	var descriptors, sockets uint64
	for _, pid := range list {
		d, s := openFiles(pid)
		descriptors += d
		sockets += s
	}
	v.add(&processCount, uint64(len(list)))
	v.add(&fileDescriptors, descriptors)
	v.add(&socketCount, sockets)
	var limit unix.Rlimit
	if pid := c.Process.Pid(); pid > 0 && unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		v.add(&ulimitsSoft, limit.Cur, "max_open_files")
	}
}

// openFiles counts the descriptors of a process, none when it has ended.
func openFiles(pid int) (all, sockets uint64) {
	dir, err := os.Open("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0, 0
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(512)
		all += uint64(len(names))
		for _, name := range names {
			if isSocket(dir, name) {
				sockets++
			}
		}
		if err != nil || len(names) == 0 {
			return all, sockets
		}
	}
}

func isSocket(dir *os.File, name string) bool {
	var target [16]byte // "socket:[12345]", cut off
	n, err := unix.Readlinkat(int(dir.Fd()), name, target[:])
	return err == nil && strings.HasPrefix(string(target[:n]), "socket:")
}
