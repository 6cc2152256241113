// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// limit is the highest system call number that a profile names on one architecture.
type limit struct {
	audit   uint32 // AUDIT_ARCH_*
	highest uint32
	x32     bool   // x86_64 only: its second set of numbers is in the profile too
	x32High uint32 // with the x32 bit
}

// x32Bit marks the system calls of the x32 ABI, which has x86_64's AUDIT_ARCH.
const x32Bit = 0x40000000

// Offsets in struct seccomp_data.
const (
	offNumber = 0
	offArch   = 4
)

// stub is the beginning of a program: it returns ENOSYS for calls newer than the
// profile on each of its architectures and goes on to the rest otherwise. Other
// architectures are left to the rest.
func stub(limits []limit) []unix.SockFilter {
	var blocks [][]unix.SockFilter
	for _, l := range limits {
		blocks = append(blocks, l.block())
	}
	var program []unix.SockFilter
	for i := len(blocks) - 1; i >= 0; i-- { // from the end: jumps go forward only
		program = append(guard(limits[i].audit, blocks[i], len(program)), program...)
	}
	return append([]unix.SockFilter{load(offArch)}, program...)
}

// guard skips block unless the architecture is audit. Every way out of block that does
// not return leads past the after instructions behind it.
func guard(audit uint32, block []unix.SockFilter, after int) []unix.SockFilter {
	out := []unix.SockFilter{jump(unix.BPF_JEQ, audit, 0, len(block)+1)}
	out = append(out, block...)
	return append(out, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(after)})
}

// block tests the number; it falls through when the call is not newer.
func (l limit) block() []unix.SockFilter {
	switch {
	case l.audit == unix.AUDIT_ARCH_X86_64 && l.x32:
		return []unix.SockFilter{
			load(offNumber),
			jump(unix.BPF_JGE, x32Bit, 2, 0),
			jump(unix.BPF_JGT, l.highest, 2, 0),
			jump(unix.BPF_JA, 2, 0, 0),
			jump(unix.BPF_JGT, l.x32High, 0, 1),
			enosys(),
		}
	case l.audit == unix.AUDIT_ARCH_X86_64:
		// Numbers with the x32 bit are another architecture's: the rest decides.
		return []unix.SockFilter{
			load(offNumber),
			jump(unix.BPF_JGE, x32Bit, 2, 0),
			jump(unix.BPF_JGT, l.highest, 0, 1),
			enosys(),
		}
	case l.audit == unix.AUDIT_ARCH_S390 || l.audit == unix.AUDIT_ARCH_S390X:
		// There the kernel presents numbers that do not fit one byte as 0 when unknown.
		return []unix.SockFilter{
			load(offNumber),
			jump(unix.BPF_JEQ, 0, 1, 0),
			jump(unix.BPF_JGT, l.highest, 0, 1),
			enosys(),
		}
	}
	return []unix.SockFilter{
		load(offNumber),
		jump(unix.BPF_JGT, l.highest, 0, 1),
		enosys(),
	}
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// jump compares with k and skips yes or no instructions; BPF_JA skips k.
func jump(op uint16, k uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: uint8(yes), Jf: uint8(no), K: k}
}

func enosys() unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
}

// instructionSize is sizeof(struct sock_filter).
const instructionSize = 8

// encode is the program as the kernel reads it.
func encode(program []unix.SockFilter) []byte {
	b := make([]byte, 0, len(program)*instructionSize)
	for _, i := range program {
		b = binary.NativeEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b
}

// decode is the reverse of encode; a rest that is no whole instruction is dropped.
func decode(b []byte) []unix.SockFilter {
	var program []unix.SockFilter
	for ; len(b) >= instructionSize; b = b[instructionSize:] {
		program = append(program, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:]),
		})
	}
	return program
}
