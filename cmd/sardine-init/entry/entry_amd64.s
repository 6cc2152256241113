// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// The process starts here instead of in the Go runtime, because setns(2) into a user
// or time namespace is refused to a process with more than one thread, and the runtime
// makes threads before any Go code runs.
//
// argv: name, [descriptor, CLONE_NEW* flags to join]. With the last two, setns is
// called; its result is left for Go in joinError.
//
// Two things are for the runtime's start only, and undone by restore.
TEXT sardine_entry(SB),NOSPLIT|NOFRAME,$0
	// Nobody in a joined pid namespace may look into this process:
	// prctl(PR_SET_DUMPABLE, 0).
	MOVQ $157, AX
	MOVQ $4, DI
	MOVQ $0, SI
	SYSCALL
	MOVL $1, ·entered(SB)

	// prctl(PR_SET_TIMERSLACK, 10 ms)
	MOVQ $157, AX
	MOVQ $29, DI
	MOVQ $10000000, SI
	SYSCALL

	// No descriptor can be opened: prlimit64(0, RLIMIT_NOFILE, ...)
	MOVQ $302, AX
	XORQ DI, DI
	MOVQ $7, SI
	XORQ DX, DX
	LEAQ ·files(SB), R10
	SYSCALL
	TESTQ AX, AX
	JNE  join
	MOVQ ·files+8(SB), R8
	MOVQ R8, ·none+8(SB) // the hard limit stays
	MOVQ $302, AX
	LEAQ ·none(SB), DX
	XORQ R10, R10
	SYSCALL
	TESTQ AX, AX
	JNE  join
	MOVL $1, ·limited(SB)

join:
	MOVQ 0(SP), AX // argc
	CMPQ AX, $3
	JNE  runtime

	MOVQ 16(SP), R8 // argv[1]
	CALL decimal<>(SB)
	MOVQ R9, DI
	MOVQ 24(SP), R8 // argv[2]
	CALL decimal<>(SB)
	MOVQ R9, SI
	MOVQ SI, R12
	MOVQ $308, AX // setns(DI, SI)
	SYSCALL
	MOVL AX, ·joinError(SB)
	TESTQ AX, AX
	JNE  runtime

	// In a user namespace just joined our ids are unmapped, and exec by an unmapped user
	// would drop the capabilities that joining gave: become its root.
	TESTQ $0x10000000, R12 // CLONE_NEWUSER
	JE   runtime
	MOVQ $119, AX // setresgid(0, 0, 0)
	XORQ DI, DI
	XORQ SI, SI
	XORQ DX, DX
	SYSCALL
	MOVL AX, ·joinError(SB)
	TESTQ AX, AX
	JNE  runtime
	MOVQ $117, AX // setresuid(0, 0, 0)
	XORQ DI, DI
	XORQ SI, SI
	XORQ DX, DX
	SYSCALL
	MOVL AX, ·joinError(SB)

runtime:
	JMP _rt0_amd64_linux(SB)

// func restore()
TEXT ·restore(SB),NOSPLIT|NOFRAME,$0
	// prctl(PR_SET_TIMERSLACK, default)
	MOVQ $157, AX
	MOVQ $29, DI
	XORQ SI, SI
	SYSCALL
	CMPL ·limited(SB), $0
	JEQ  restored
	MOVQ $302, AX // prlimit64(0, RLIMIT_NOFILE, files)
	XORQ DI, DI
	MOVQ $7, SI
	LEAQ ·files(SB), DX
	XORQ R10, R10
	SYSCALL
restored:
	RET

// decimal reads the digits at R8 into R9.
TEXT decimal<>(SB),NOSPLIT|NOFRAME,$0
	XORQ R9, R9
next:
	MOVBLZX (R8), R10
	SUBQ $48, R10
	CMPQ R10, $9
	JHI  done
	IMULQ $10, R9
	ADDQ R10, R9
	INCQ R8
	JMP  next
done:
	RET
