// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// smallestTable is how many descriptors the kernel's smallest table has room for.
const smallestTable = 64

// shrinkTable gives this thread a descriptor table of its own that ends behind what is still
// needed. The one that clone made is as large as the daemon's, 128 KB on a node with a
// thousand pods, and the kernel never shrinks it: the program would keep it for life. The
// runtime's other thread shares it, and it goes with that thread at exec.
//
// Kernels before 5.9 have no such call; there the memory is lost and nothing else.
func (s *session) shrinkTable() {
	end := max(smallestTable, plan.ControlFD+1, s.host.proc+1, s.host.execAttr+1)
	_ = kernel.CloseOwnAbove(end)
}
