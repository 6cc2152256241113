// SPDX-License-Identifier: Apache-2.0

// Command timedplugin stands in for a CNI plugin: it runs the plugin of the same
// name from the directory stock beside it, and adds a line with the time that
// took to the file log there: the command, the pod's id, the plugin and
// nanoseconds.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	dir, name := filepath.Split(os.Args[0])
	cmd := exec.Command(filepath.Join(dir, "stock", name))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	began := time.Now()
	_ = cmd.Run() // its exit code says what there is to say
	took := time.Since(began)
	if err := write(filepath.Join(dir, "log"), name, took); err != nil {
		fmt.Fprintln(os.Stderr, "timedplugin:", err)
		os.Exit(1)
	}
	if cmd.ProcessState == nil {
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// write is one write(2) to a file opened for appending: lines of plugins that
// end together do not mix.
func write(log, name string, took time.Duration) error {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	id := os.Getenv("CNI_CONTAINERID")
	if id == "" {
		id = "-" // VERSION has none
	}
	_, err = fmt.Fprintf(f, "%s %s %s %d\n", os.Getenv("CNI_COMMAND"), id, name, took.Nanoseconds())
	return err
}
