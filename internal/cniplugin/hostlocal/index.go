// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"hash/maphash"
	"slices"
)

// maxLeases bounds what is kept of a directory between calls: about 100 bytes each.
const maxLeases = 1 << 20

// index is what the files of a directory say: which addresses are taken, and by whom. Of a lease's content a hash is
// kept, so whoever uses it reads the file.
type index struct {
	taken  addresses
	owners map[uint64][]address
	seed   maphash.Seed
	leases int
}

func newIndex() *index {
	return &index{taken: addresses{}, owners: map[uint64][]address{}, seed: maphash.MakeSeed()}
}

// add notes a file and its content, "" when that is nobody's.
func (x *index) add(a address, owner string) {
	x.taken.add(a)
	x.leases++
	if owner != "" {
		key := maphash.String(x.seed, owner)
		x.owners[key] = append(x.owners[key], a)
	}
}

func (x *index) remove(a address, owner string) {
	x.taken.remove(a)
	x.leases--
	key := maphash.String(x.seed, owner)
	left := slices.DeleteFunc(x.owners[key], func(b address) bool { return a == b })
	if len(left) == 0 {
		delete(x.owners, key)
		return
	}
	x.owners[key] = left
}

// of returns where owner's leases may be, in the order in which a directory is walked.
func (x *index) of(owner string) []address {
	return slices.Clone(x.owners[maphash.String(x.seed, owner)])
}
