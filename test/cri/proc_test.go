// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// lines returns the lines of a text that are not empty.
func lines(text string) []string { return strings.Fields(text) }

func itoa(n int) string { return strconv.Itoa(n) }

// pidOf returns the pid of a container's program, from the verbose status.
func (n *Node) pidOf(id string) string {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err != nil {
		n.t.Fatalf("status of container %s: %v", id, err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(answer.Info["info"]), &info); err != nil || info.Pid == 0 {
		n.t.Fatalf("no pid in the verbose status: %v: %s", err, answer.Info["info"])
	}
	return itoa(info.Pid)
}

// pidsWith returns the processes whose command line has text in it.
func pidsWith(text string) []string {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var pids []string
	for _, name := range names {
		if args, _ := os.ReadFile(name); strings.Contains(string(args), text) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}
