// SPDX-License-Identifier: Apache-2.0

// Command fake is a CNI plugin that attaches nothing. It notes how it was called in the
// file "calls" of the directory that its configuration names as "control", and does what the file
// named like the command there says: "fail CODE MESSAGE", "sleep DURATION", "wait" (until it is not told so any more), "hang", "fork" (hang together with a child),
// "leave" (end, but not the child), "stderr MESSAGE" (fail without JSON), "flood" or "print TEXT".
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

type config struct {
	CNIVersion string          `json:"cniVersion"`
	Control    string          `json:"control"`
	Addresses  []string        `json:"addresses"`
	PrevResult json.RawMessage `json:"prevResult"`
}

type call struct {
	Command, ID, NetNS, Interface, Args string
	Pid                                 int
	Config                              json.RawMessage
}

// long is more than any test waits for something that should not take long.
const long = 10 * time.Minute

func main() {
	if os.Getenv("FAKE_SLEEP") != "" {
		time.Sleep(long)
		return
	}
	stdin, err := io.ReadAll(os.Stdin)
	check(err)
	var c config
	check(json.Unmarshal(stdin, &c))
	command := os.Getenv("CNI_COMMAND")
	note(&c, stdin, command)
	what, _ := os.ReadFile(filepath.Join(c.Control, command))
	behave(c.Control, string(what))
	if command == "ADD" {
		add(&c)
	}
}

func note(c *config, stdin []byte, command string) {
	text, err := json.Marshal(call{
		command, os.Getenv("CNI_CONTAINERID"), os.Getenv("CNI_NETNS"), os.Getenv("CNI_IFNAME"), os.Getenv("CNI_ARGS"),
		os.Getpid(), stdin,
	})
	check(err)
	f, err := os.OpenFile(filepath.Join(c.Control, "calls"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	check(err)
	_, err = f.Write(append(text, '\n'))
	check(err)
	check(f.Close())
}

func behave(control, what string) {
	verb, rest, _ := strings.Cut(strings.TrimSpace(what), " ")
	switch verb {
	case "fail":
		code, message, _ := strings.Cut(rest, " ")
		fmt.Printf(`{"cniVersion":"1.1.0","code":%s,"msg":%q}`, code, message)
		os.Exit(1)
	case "stderr":
		fmt.Fprintln(os.Stderr, rest)
		os.Exit(3)
	case "fork":
		fork(control)
		time.Sleep(long)
	case "sleep":
		d, err := time.ParseDuration(rest)
		check(err)
		time.Sleep(d)
	case "hang":
		time.Sleep(long)
	case "wait":
		for path := filepath.Join(control, os.Getenv("CNI_COMMAND")); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(path); err != nil {
				return
			}
		}
	case "leave":
		fork(control)
	case "flood":
		for range 6 << 10 {
			fmt.Print(strings.Repeat("x", 1<<10))
		}
		os.Exit(0)
	case "print":
		fmt.Print(rest)
		os.Exit(0)
	}
}

// fork starts a child that keeps the output open, and notes its pid in the file "child".
func fork(control string) {
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "FAKE_SLEEP=1")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	check(child.Start())
	check(os.WriteFile(filepath.Join(control, "child"), []byte(strconv.Itoa(child.Process.Pid)), 0o600))
}

func add(c *config) {
	if len(c.PrevResult) > 0 {
		fmt.Print(string(c.PrevResult))
		return
	}
	var ips []map[string]any
	for _, a := range c.Addresses {
		ips = append(ips, map[string]any{"address": a, "interface": 0})
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"cniVersion": c.CNIVersion,
		"interfaces": []map[string]any{{"name": os.Getenv("CNI_IFNAME"), "sandbox": os.Getenv("CNI_NETNS"), "mac": "02:00:00:00:00:01"}},
		"ips":        ips,
	}))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
