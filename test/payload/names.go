// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// names are the programs that payload is when it is called like them: stand-ins
// for those of the images that Kubernetes' tests use.
var names = map[string]func(args []string) error{
	"nginx":     serveAsMaster,
	masterTitle: serveWeb,
	"httpd":     serveWeb,
	"nnp":       printEffectiveUser,
	"ipcs":      listSharedMemory,
	"ls":        listFiles,
	"pgrep":     findProcesses,
	"pause":     pause,
	// in an image that brings its own
	"sardine-probe": ownProbe,
}

// calledAs returns what to run by the name of the program, nil for payload's own.
func calledAs() func(args []string) error { return names[filepath.Base(os.Args[0])] }

// ownProbe tells that it, a program of the image, was run, and not what the daemon has in its place.
func ownProbe(args []string) error {
	fmt.Println("the image's own", args)
	os.Exit(3)
	return nil
}
