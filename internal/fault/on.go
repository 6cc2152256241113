// SPDX-License-Identifier: Apache-2.0

//go:build faults

package fault

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Enabled reports whether points can be armed in this build.
const Enabled = true

// Point returns the error that name is armed with, or nil. The environment is read each
// time, so that a test can arm points one after the other.
func Point(name Name) error {
	for entry := range strings.SplitSeq(os.Getenv("SARDINE_FAULTS"), ",") {
		if armed, text, ok := strings.Cut(entry, "="); ok && Name(armed) == name {
			if text == Kill {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // it does not come back from that
			}
			return fmt.Errorf("fault %s: %s", name, text)
		}
	}
	return nil
}
