// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// release is the Debian the guest is made of: the last whose kernel (6.1) lacks
// most of what Sardine prefers to use.
const release = "bookworm"

// mirrors says where Debian comes from, as lines of sources.list. It asks apt
// instead of naming a mirror: a machine behind a firewall has its own. mirror
// overrides that when it is not empty.
func mirrors(mirror string) ([]string, error) {
	if mirror != "" {
		return []string{sourceLine(mirror, release)}, nil
	}
	out, err := exec.Command("apt-get", "indextargets", "--format",
		"$(REPO_URI) $(COMPONENT) $(RELEASE) $(ORIGIN)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("ask apt-get indextargets for Debian's mirror: %w", err)
	}
	lines := mirrorLines(string(out))
	if len(lines) == 0 {
		return nil, errors.New("apt's sources name no Debian mirror; give one with -mirror URL")
	}
	return lines, nil
}

// mirrorLines reads one index target per line: address, component, release and,
// where apt has downloaded the release file, its origin.
func mirrorLines(targets string) []string {
	var lines []string
	add := func(uri, suite string) {
		if line := sourceLine(uri, suite); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for target := range strings.Lines(targets) {
		field := strings.Fields(target)
		if len(field) < 3 || field[1] != "main" || !isDebian(field) {
			continue
		}
		// A host running another Debian release has its mirror, too.
		switch uri := field[0]; {
		case strings.Contains(field[2], "-security"):
			add(uri, release+"-security")
		default:
			add(uri, release)
			add(uri, release+"-updates")
		}
	}
	return lines
}

// isDebian tells Debian's archive from a third party's that happens to have a
// component main.
func isDebian(field []string) bool {
	if len(field) > 3 && !strings.HasPrefix(field[3], "$(") {
		return field[3] == "Debian"
	}
	name, _, _ := strings.Cut(field[2], "-")
	return name == release
}

func sourceLine(uri, suite string) string {
	return fmt.Sprintf("deb %s %s main", uri, suite)
}

// proxies returns apt's settings for fetching (proxies, certificates), which
// mmdebstrap, with a configuration of its own, would not see.
func proxies() []string {
	out, err := exec.Command("apt-config", "dump").Output()
	if err != nil {
		return nil
	}
	var options []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Acquire::http") && !strings.HasSuffix(line, `"";`) {
			options = append(options, line)
		}
	}
	return options
}
