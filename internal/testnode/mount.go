// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"os"
	"strings"
)

// mount is a line of /proc/self/mountinfo, see proc_pid_mountinfo(5). Two
// mounts with the same fields but ids are two.
type mount struct {
	id      string
	root    string // within its file system; "net:[...]" for a namespace
	point   string
	fstype  string
	source  string
	options string // of the file system
}

func readMounts() (map[mount]bool, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	mounts := map[mount]bool{}
	for line := range strings.Lines(string(data)) {
		m, err := parseMount(line)
		if err != nil {
			return nil, err
		}
		mounts[m] = true
	}
	return mounts, nil
}

func parseMount(line string) (mount, error) {
	left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !ok || len(l) < 6 || len(r) < 2 {
		return mount{}, fmt.Errorf("mountinfo line %q: too few fields", line)
	}
	m := mount{id: l[0], root: l[3], point: l[4], fstype: r[0], source: r[1]}
	if len(r) > 2 {
		m.options = r[2]
	}
	return m, nil
}

func diffMounts(before, after *Snapshot) []Leak {
	var leaks []Leak
	for m := range after.mounts {
		if before.mounts[m] {
			continue
		}
		if after.opts.Everything || after.opts.mentions(strings.Join([]string{m.point, m.root, m.source, m.options}, " ")) {
			leaks = append(leaks, Leak{Kind: "mount", Name: m.point, Detail: m.fstype + " " + m.source})
		}
	}
	return leaks
}
