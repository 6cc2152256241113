// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// printEffectiveUser tells whether a set-user-id bit took effect.
func printEffectiveUser([]string) error {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
	return nil
}

// listSharedMemory prints the segments of the IPC namespace, see proc(5).
func listSharedMemory([]string) error {
	table, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(table)
	return err
}

// listFiles prints the names in directories, the working directory if none is
// given; options are ignored.
func listFiles(args []string) error {
	var dirs []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			dirs = append(dirs, arg)
		}
	}
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	}
	return nil
}

// findProcesses prints the pids of other processes whose name matches.
func findProcesses(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("a pattern, not %q", args)
	}
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	found := false
	for _, name := range names {
		pid := filepath.Base(filepath.Dir(name))
		comm, err := os.ReadFile(name)
		if err != nil || pid == fmt.Sprint(os.Getpid()) || !pattern.MatchString(strings.TrimSpace(string(comm))) {
			continue
		}
		fmt.Println(pid)
		found = true
	}
	if !found {
		os.Exit(1) // silently, as pgrep does
	}
	return nil
}
