// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

func TestOnThreadSparesTheFirst(t *testing.T) {
	for range 200 {
		kernel.OnThread(func() {
			if unix.Gettid() == unix.Getpid() {
				t.Error("ran on the first thread of the process")
			}
		})
	}
}
