// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"os"
	"strings"
)

// readDescriptors counts a process's open descriptors by what they are. Pipes
// and sockets are counted together, whatever their number; a file goes by its path.
func readDescriptors(pid int) map[string]int {
	kinds := map[string]int{}
	for _, link := range readLinks(fmt.Sprintf("/proc/%d/fd", pid)) {
		kinds[descriptorKind(link)]++
	}
	// The directory that is being read, if it is one's own.
	delete(kinds, fmt.Sprintf("/proc/%d/fd", pid))
	return kinds
}

func descriptorKind(link string) string {
	if kind, _, ok := strings.Cut(link, ":["); ok && kind != "anon_inode" {
		return kind
	}
	return link
}

// settleRuntime makes Go's runtime open the descriptors it keeps forever, its
// poller's, so that the first use in a test is not taken for a leak.
func settleRuntime() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	r.Close()
	w.Close()
}

func diffDescriptors(whose string, before, after map[string]int) []Leak {
	var leaks []Leak
	for kind, n := range after {
		if n > before[kind] {
			leaks = append(leaks, Leak{Kind: "descriptor", Name: kind, Detail: fmt.Sprintf("of %s: %d, before %d", whose, n, before[kind])})
		}
	}
	return leaks
}
