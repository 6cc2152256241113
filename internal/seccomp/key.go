// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// key identifies a profile by its content.
type key [sha256.Size]byte

// keyOf hashes every field that compile reads. Lists and strings are preceded by their
// length, so that no two profiles have the same bytes.
func keyOf(p *specs.LinuxSeccomp) key {
	b := make(digest, 0, 16<<10)
	b.text(string(p.DefaultAction))
	b.optional(p.DefaultErrnoRet)
	b.number(uint64(len(p.Architectures)))
	for _, a := range p.Architectures {
		b.text(string(a))
	}
	b.flags(p.Flags)
	b.text(p.ListenerPath)
	b.text(p.ListenerMetadata)
	b.number(uint64(len(p.Syscalls)))
	for i := range p.Syscalls {
		b.syscall(&p.Syscalls[i])
	}
	return sha256.Sum256(b)
}

// digest collects the bytes to be hashed.
type digest []byte

func (b *digest) number(n uint64) { *b = binary.AppendUvarint(*b, n) }

func (b *digest) text(s string) {
	b.number(uint64(len(s)))
	*b = append(*b, s...)
}

func (b *digest) optional(n *uint) {
	if n == nil {
		b.number(0)
		return
	}
	b.number(1)
	b.number(uint64(*n))
}

// flags tells a missing list, which stands for a default, from an empty one.
func (b *digest) flags(flags []specs.LinuxSeccompFlag) {
	if flags == nil {
		b.number(0)
		return
	}
	b.number(uint64(len(flags)) + 1)
	for _, f := range flags {
		b.text(string(f))
	}
}

func (b *digest) syscall(s *specs.LinuxSyscall) {
	b.number(uint64(len(s.Names)))
	for _, name := range s.Names {
		b.text(name)
	}
	b.text(string(s.Action))
	b.optional(s.ErrnoRet)
	b.number(uint64(len(s.Args)))
	for _, a := range s.Args {
		b.number(uint64(a.Index))
		b.number(a.Value)
		b.number(a.ValueTwo)
		b.text(string(a.Op))
	}
}
