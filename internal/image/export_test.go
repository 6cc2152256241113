// SPDX-License-Identifier: Apache-2.0

package image

// BeforeWalk has every walk over writable layers begin with hook. It comes before the first call of Usage.
func (i *Images) BeforeWalk(hook func()) {
	walks := i.usage.walks
	measure := walks.measure
	walks.measure = func(before written) written {
		hook()
		return measure(before)
	}
}
