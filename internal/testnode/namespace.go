// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// readNamespaces finds the namespaces that something holds: a process in them,
// a bind mount, or a descriptor of the test or its daemon.
func (s *Snapshot) readNamespaces() map[string][]string {
	held := map[string][]string{}
	for _, p := range s.processes {
		if !p.owned && (!s.opts.Everything || !p.isRuntime()) {
			continue
		}
		for _, link := range readLinks(fmt.Sprintf("/proc/%d/ns", p.pid)) {
			held[link] = append(held[link], fmt.Sprintf("process %d (%s)", p.pid, p.command))
		}
	}
	for m := range s.mounts {
		if m.fstype == "nsfs" && (s.opts.Everything || s.opts.mentions(m.point)) {
			held[m.root] = append(held[m.root], "mount "+m.point)
		}
	}
	for _, pid := range []int{os.Getpid(), s.daemonPID()} {
		for _, link := range threadNamespaces(pid) {
			held[link] = append(held[link], fmt.Sprintf("a thread of %d", pid))
		}
		for _, link := range readLinks(fmt.Sprintf("/proc/%d/fd", pid)) {
			if isNamespace(link) {
				held[link] = append(held[link], fmt.Sprintf("descriptor of %d", pid))
			}
		}
	}
	return held
}

// threadNamespaces returns the namespaces of a process's threads, which differ
// where one has joined a container's and was not thrown away.
func threadNamespaces(pid int) []string {
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns", pid))
	var links []string
	for _, dir := range dirs {
		links = append(links, readLinks(dir)...)
	}
	return links
}

// isNamespace tells "net:[4026531840]" from the other things links of /proc say.
func isNamespace(link string) bool {
	kind, rest, ok := strings.Cut(link, ":[")
	return ok && strings.HasSuffix(rest, "]") && kind != "pipe" && kind != "socket" && kind != "anon_inode"
}

// readLinks returns where the links in a directory of /proc lead.
func readLinks(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var links []string
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			links = append(links, link)
		}
	}
	return links
}

func diffNamespaces(before, after *Snapshot) []Leak {
	var leaks []Leak
	for ns, holders := range after.namespaces {
		if _, ok := before.namespaces[ns]; !ok {
			leaks = append(leaks, Leak{Kind: "namespace", Name: ns, Detail: "held by " + strings.Join(holders, ", ")})
		}
	}
	return leaks
}
