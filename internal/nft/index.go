// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"slices"
	"strings"
)

// keyLength is how much of a comment its rules are found by: hashes of networks and attachments are shorter.
const keyLength = 33

// index is what tables have, of those that were asked for.
type index map[ID]*table

type table struct {
	exists bool
	chains map[string]*chain
}

type chain struct {
	hook  *Hook
	rules map[uint64]string   // handle to comment, "" for none
	byKey map[string][]uint64 // the start of a comment to the handles of rules with it
	fixed string              // the rules that Tx.Ensure gave it, encoded; "" when somebody else has touched it since
}

func newTable() *table { return &table{chains: map[string]*chain{}} }

func newChain(hook *Hook) *chain {
	return &chain{hook: hook, rules: map[uint64]string{}, byKey: map[string][]uint64{}}
}

func key(comment string) string { return comment[:min(len(comment), keyLength)] }

func (c *chain) add(handle uint64, comment string) {
	c.remove(handle)
	c.rules[handle] = comment
	if comment != "" {
		c.byKey[key(comment)] = append(c.byKey[key(comment)], handle)
	}
}

func (c *chain) remove(handle uint64) {
	comment, ok := c.rules[handle]
	if !ok {
		return
	}
	delete(c.rules, handle)
	k := key(comment)
	left := slices.DeleteFunc(c.byKey[k], func(h uint64) bool { return h == handle })
	if len(left) == 0 {
		delete(c.byKey, k)
		return
	}
	c.byKey[k] = left
}

// find returns the rules with a comment that starts so, oldest first. It looks at every comment when the start is shorter than a key.
func (c *chain) find(prefix string) []Found {
	var found []Found
	look := func(handle uint64) {
		if comment := c.rules[handle]; comment != "" && strings.HasPrefix(comment, prefix) {
			found = append(found, Found{Handle: handle, Comment: comment})
		}
	}
	if len(prefix) >= keyLength {
		for _, handle := range c.byKey[key(prefix)] {
			look(handle)
		}
	} else {
		for handle := range c.rules {
			look(handle)
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return int(int64(a.Handle) - int64(b.Handle)) })
	return found
}

// exactly returns the rules with this comment.
func (c *chain) exactly(comment string) []Found {
	var found []Found
	for _, handle := range c.byKey[key(comment)] {
		if c.rules[handle] == comment {
			found = append(found, Found{Handle: handle, Comment: comment})
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return int(int64(a.Handle) - int64(b.Handle)) })
	return found
}
