// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// newMask makes the directory behind which containers hide others. One file system for all saves each container
// more than its own size: every memory cgroup has a place for every super block of the node. It is nil before
// Linux 6.15, where a mount that is attached nowhere cannot be copied: each container makes its own then.
func newMask() *os.File {
	tree, err := kernel.EmptyTree()
	if err != nil {
		return nil // whoever launches will be told by the first container
	}
	copied, err := kernel.OpenTree(tree, "", false)
	if err != nil {
		unix.Close(tree)
		return nil
	}
	unix.Close(copied)
	return os.NewFile(uintptr(tree), "mask")
}

// inheritMask gives the process the directory, if it has something to hide.
func (l *Launcher) inheritMask(files *inheritance, p *plan.Plan) {
	p.Root.Mask = plan.NoFD
	if l.mask != nil && len(p.Masked) > 0 {
		p.Root.Mask = len(files.files)
		files.borrow(p.Root.Mask, l.mask)
	}
}
