// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"strings"
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

func TestOnThreadPanics(t *testing.T) {
	for range 50 {
		func() {
			defer func() {
				p, ok := recover().(*kernel.Panic)
				if !ok || p.Value != "burnt" || !strings.Contains(p.Error(), "TestOnThreadPanics") {
					t.Errorf("recovered %v", p)
				}
			}()
			kernel.OnThread(func() { panic("burnt") })
			t.Error("returned")
		}()
	}
}
