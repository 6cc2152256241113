// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// tools maps each program this command starts to the Debian package it is in.
var tools = map[string]string{
	"mmdebstrap":         "mmdebstrap",
	"mke2fs":             "e2fsprogs",
	"qemu-system-x86_64": "qemu-system-x86",
}

// installTools makes sure every tool is there: root gets the missing ones from
// apt, anybody else is told their names.
func installTools(ctx context.Context) error {
	// Debian keeps mke2fs out of an ordinary user's PATH.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return err
	}
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	install := "apt-get install -y --no-install-recommends " + strings.Join(missing, " ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing packages; as root: %s", install)
	}
	fmt.Println("vm:", install)
	return fetch(ctx, func() error {
		cmd := exec.CommandContext(ctx, "sh", "-c", "apt-get update -q && "+install)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return runQuiet(cmd)
	})
}

func missingPackages() []string {
	var missing []string
	for program, pkg := range tools {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	slices.Sort(missing)
	return missing
}
