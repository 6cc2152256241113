// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"context"
	"fmt"
	"regexp"
)

// Finding is one thing that is left over.
type Finding struct {
	Kind    string `json:"kind"` // lease, nftables rule, iptables rule, interface, namespace, result, record
	Name    string `json:"name"` // a path, an interface, or where a rule stands
	Pod     string `json:"pod,omitempty"`
	Network string `json:"network,omitempty"`
	Detail  string `json:"detail,omitempty"`

	// remove removes it, if it is still what it was; nil for what the daemon itself goes on trying to remove.
	remove func(context.Context) error
}

// key is the same for the same thing seen twice.
func (f *Finding) key() string { return f.Kind + "\x00" + f.Name + "\x00" + f.Pod + "\x00" + f.Detail }

// String implements fmt.Stringer.
func (f *Finding) String() string {
	text := f.Kind + " " + f.Name
	if f.Network != "" {
		text += " of network " + f.Network
	}
	if f.Pod != "" {
		text += fmt.Sprintf(" of pod %.12s", f.Pod)
	}
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	return text
}

// podID is what the daemon calls pods. Others call theirs otherwise, or have results in a cache of their own.
var podID = regexp.MustCompile(`^[0-9a-f]{64}$`)
