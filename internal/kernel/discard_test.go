// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/kernel"
)

// TestDiscardProgram goes on running afterwards, with fewer pages.
func TestDiscardProgram(t *testing.T) {
	before := fileRSS(t)
	if err := kernel.DiscardProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fileRSS(t); after >= before {
		t.Errorf("%d KB of the file are in memory, %d KB before", after, before)
	}
}

func fileRSS(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no RssFile")
	return 0
}
