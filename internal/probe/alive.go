// SPDX-License-Identifier: Apache-2.0

package probe

// alive is the probe of the main process.
type alive struct{}

func (alive) kind() string { return "alive" }

func (alive) ask(a asked) Answer {
	if err := a.target.Alive(); err != nil {
		return bad("alive: %s", describe(err))
	}
	return good("alive: the main process exists and is not frozen")
}
