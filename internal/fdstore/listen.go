// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"os"
	"strconv"
	"strings"

	"github.com/sardine-run/sardine/internal/kernel"
)

// firstPassed is the number of the first descriptor that systemd passes, SD_LISTEN_FDS_START.
const firstPassed = 3

// Protect keeps the descriptors that systemd passed to this process from those that it
// starts. It is to be called before anything can be started.
func Protect() { kernel.CloseOnExec(firstPassed, passed()) }

// passed is the number of descriptors that systemd passed to this process, sd_listen_fds(3).
func passed() int {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1<<20 {
		return 0
	}
	return n
}

// takePassed returns the descriptors of an earlier daemon among those that systemd passed. The
// variables that tell of them are unset: they are long, and children would inherit them.
func takePassed() descriptors {
	n := passed()
	kernel.CloseOnExec(firstPassed, n)
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if len(names) != n {
		return descriptors{}
	}
	found := descriptors{}
	for i, name := range names {
		if isKey(name) {
			found.add(name, firstPassed+i)
		}
	}
	return found
}

// descriptors are those of an earlier daemon, by key.
type descriptors map[string][]int

func (d descriptors) add(key string, fd int) { d[key] = append(d[key], fd) }

func (d descriptors) len() int {
	n := 0
	for _, fds := range d {
		n += len(fds)
	}
	return n
}

// drop closes those under key.
func (d descriptors) drop(key string) {
	kernel.Close(d[key]...)
	delete(d, key)
}

func (d descriptors) dropAll() {
	for key := range d {
		d.drop(key)
	}
}
