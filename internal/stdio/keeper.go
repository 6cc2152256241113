// SPDX-License-Identifier: Apache-2.0

package stdio

import "os"

// Keeper keeps descriptors of one process for a later daemon. What it is given stays the
// caller's; it keeps duplicates.
type Keeper interface {
	// Keep keeps files under a role, which nothing is kept under.
	Keep(role string, files ...*os.File)
	// Take returns, once, what an earlier daemon has kept under role, in no certain order.
	// It stays kept.
	Take(role string) []*os.File
	// Drop drops what is kept under role, if there is something.
	Drop(role string)
}

// The roles of descriptors.
const (
	// roleTerminal is the master of a terminal with the ends of its client's streams, so
	// that all of them are kept or none.
	roleTerminal = "terminal"
	// roleStdin is the writing end of a program's standard input.
	roleStdin = "stdin"
)

// nobody keeps nothing.
type nobody struct{}

func (nobody) Keep(string, ...*os.File) {}
func (nobody) Take(string) []*os.File   { return nil }
func (nobody) Drop(string)              {}
