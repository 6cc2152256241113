// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"
)

func TestMirrorLines(t *testing.T) {
	for _, c := range []struct {
		name, targets string
		want          []string
	}{
		{"plain", "http://m/debian/ main bookworm Debian\nhttp://m/debian/ main bookworm-updates Debian\nhttp://s/ main bookworm-security Debian\n",
			[]string{"deb http://m/debian/ bookworm main", "deb http://m/debian/ bookworm-updates main", "deb http://s/ bookworm-security main"}},
		{"before apt-get update", "http://m/debian/ main bookworm $(ORIGIN)\n",
			[]string{"deb http://m/debian/ bookworm main", "deb http://m/debian/ bookworm-updates main"}},
		{"newer host", "http://m/debian/ main trixie Debian\n",
			[]string{"deb http://m/debian/ bookworm main", "deb http://m/debian/ bookworm-updates main"}},
		{"third parties", "https://apt.example/ main nodistro Example\nhttps://b.example/ main stable $(ORIGIN)\nhttp://m/ contrib bookworm Debian\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mirrorLines(c.targets); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
