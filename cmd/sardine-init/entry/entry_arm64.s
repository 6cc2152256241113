// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// See entry_amd64.s. The stack pointer, which the runtime's entry expects untouched,
// points at argc.
TEXT sardine_entry(SB),NOSPLIT|NOFRAME,$0
	MOVD $167, R8 // prctl(PR_SET_DUMPABLE, 0)
	MOVD $4, R0
	MOVD $0, R1
	SVC
	MOVD $1, R0
	MOVW R0, ·entered(SB)

	MOVD $167, R8 // prctl(PR_SET_TIMERSLACK, 10 ms)
	MOVD $29, R0
	MOVD $10000000, R1
	SVC

	MOVD $261, R8 // prlimit64(0, RLIMIT_NOFILE, ...)
	MOVD $0, R0
	MOVD $7, R1
	MOVD $0, R2
	MOVD $·files(SB), R3
	SVC
	CBNZ R0, join
	MOVD ·files+8(SB), R4
	MOVD R4, ·none+8(SB) // the hard limit stays
	MOVD $0, R0
	MOVD $7, R1
	MOVD $·none(SB), R2
	MOVD $0, R3
	SVC
	CBNZ R0, join
	MOVD $1, R0
	MOVW R0, ·limited(SB)

join:
	MOVD 0(RSP), R0 // argc
	CMP  $3, R0
	BNE  runtime

	MOVD 16(RSP), R2 // argv[1]
	BL   decimal<>(SB)
	MOVD R3, R10
	MOVD 24(RSP), R2 // argv[2]
	BL   decimal<>(SB)
	MOVD R3, R11
	MOVD R10, R0
	MOVD R11, R1
	MOVD $268, R8 // setns
	SVC
	MOVW R0, ·joinError(SB)
	CBNZ R0, runtime

	TBZ  $28, R11, runtime // CLONE_NEWUSER
	MOVD $149, R8 // setresgid(0, 0, 0)
	MOVD $0, R0
	MOVD $0, R1
	MOVD $0, R2
	SVC
	MOVW R0, ·joinError(SB)
	CBNZ R0, runtime
	MOVD $147, R8 // setresuid(0, 0, 0)
	MOVD $0, R0
	MOVD $0, R1
	MOVD $0, R2
	SVC
	MOVW R0, ·joinError(SB)

runtime:
	B _rt0_arm64_linux(SB)

// func restore()
TEXT ·restore(SB),NOSPLIT|NOFRAME,$0
	MOVD $167, R8 // prctl(PR_SET_TIMERSLACK, default)
	MOVD $29, R0
	MOVD $0, R1
	SVC
	MOVW ·limited(SB), R0
	CBZ  R0, restored
	MOVD $261, R8 // prlimit64(0, RLIMIT_NOFILE, files)
	MOVD $0, R0
	MOVD $7, R1
	MOVD $·files(SB), R2
	MOVD $0, R3
	SVC
restored:
	RET

// decimal reads the digits at R2 into R3.
TEXT decimal<>(SB),NOSPLIT|NOFRAME,$0
	MOVD $0, R3
	MOVD $10, R5
next:
	MOVBU (R2), R4
	SUB  $48, R4, R4
	CMP  $9, R4
	BHI  done
	MUL  R5, R3, R3
	ADD  R4, R3, R3
	ADD  $1, R2, R2
	B    next
done:
	RET
