// SPDX-License-Identifier: Apache-2.0

package cniplugin

import "strings"

// Verbs of the specification.
const (
	verbAdd     = "ADD"
	verbDel     = "DEL"
	verbCheck   = "CHECK"
	verbStatus  = "STATUS"
	verbGC      = "GC"
	verbVersion = "VERSION"
)

// parse reads what a program would find in its environment.
func parse(environ []string) (verb string, c *Call) {
	c = &Call{}
	for _, kv := range environ {
		name, ok := strings.CutPrefix(kv, "CNI_")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(name, "=")
		switch key {
		case "COMMAND":
			verb = value
		case "CONTAINERID":
			c.ContainerID = value
		case "NETNS":
			c.NetNS = value
		case "IFNAME":
			c.IfName = value
		case "ARGS":
			c.Args = value
		case "PATH":
			c.Path = value
		case "NETNS_OVERRIDE":
			c.sameNetNS = value == "1" || strings.EqualFold(value, "true")
		}
	}
	return verb, c
}
