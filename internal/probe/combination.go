// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"strings"
)

// combination is all or any of some probes.
type combination struct {
	every  bool
	probes []Probe
}

func (c combination) kind() string {
	if c.every {
		return "all"
	}
	return "any"
}

// ask asks all at the same time. The first answer that decides is enough; the others are given up and waited for.
func (c combination) ask(a asked) Answer {
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	a.ctx = ctx
	answers := make(chan Answer, len(c.probes))
	for _, p := range c.probes {
		go func() { answers <- p.ask(a) }()
	}
	ok := c.every
	var found []string
	for range c.probes {
		answer := <-answers
		if decided := ok != c.every; decided {
			continue
		}
		if answer.OK != c.every {
			ok = answer.OK
			found = []string{answer.Text} // the one that counts
			cancel()
			continue
		}
		found = append(found, answer.Text)
	}
	return Answer{ok, c.kind() + ": " + strings.Join(found, "; ")}
}
