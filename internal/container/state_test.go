// SPDX-License-Identifier: Apache-2.0

package container

import (
	"testing"

	"github.com/containerd/errdefs"
)

func TestEveryTransition(t *testing.T) {
	legal := map[[2]string]State{
		{"created", "start"}:  Running,
		{"created", "exit"}:   Stopped,
		{"created", "delete"}: Deleted,
		{"running", "pause"}:  Paused,
		{"running", "exit"}:   Stopped,
		{"paused", "resume"}:  Running,
		{"paused", "exit"}:    Stopped,
		{"stopped", "delete"}: Deleted,
	}
	for s := Created; s <= Deleted; s++ {
		for a := start; a <= remove; a++ {
			next, err := s.after(a)
			want, ok := legal[[2]string{s.String(), a.String()}]
			switch {
			case ok && (err != nil || next != want):
				t.Errorf("%s after %s: %s, %v; want %s", a, s, next, err, want)
			case !ok && next != s:
				t.Errorf("%s is refused in %s but leads to %s", a, s, next)
			case !ok && s == Deleted && !errdefs.IsNotFound(err):
				t.Errorf("%s of a deleted container: %v; want ErrNotFound", a, err)
			case !ok && s != Deleted && !errdefs.IsFailedPrecondition(err):
				t.Errorf("%s of a container that is %s: %v; want ErrFailedPrecondition", a, s, err)
			}
		}
	}
}

func TestInvalidState(t *testing.T) {
	if State(0).String() != "invalid" || State(99).String() != "invalid" {
		t.Error("a state that does not exist has a name")
	}
}
