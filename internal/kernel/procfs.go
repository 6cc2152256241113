// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ProcStat is what the project reads of /proc/PID/stat, proc_pid_stat(5).
type ProcStat struct {
	Comm       string
	State      byte // 'R', 'S', 'Z', ...
	PPid       int
	Group      int // process group
	Session    int
	Threads    int
	CPUTicks   uint64 // fields 14 and 15: time on a CPU, in user and kernel mode, in 1/100 s
	StartTicks uint64 // field 22: start after boot in 1/100 s; with the pid, names a process for good
	Resident   int64  // field 24: resident memory in pages
	// ExitWord is field 52, a status word of wait(2). It has a meaning for a zombie only,
	// and is zero without the right to ptrace the process.
	ExitWord uint32
}

// Zombie reports a process that has ended and waits to be reaped.
func (s ProcStat) Zombie() bool { return s.State == 'Z' || s.State == 'X' }

// ReadProcStat reads /proc/pid/stat. ESRCH when there is no such process.
func ReadProcStat(pid int) (ProcStat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return ProcStat{}, wrap("read", path, unix.ESRCH)
	}
	if err != nil {
		return ProcStat{}, err
	}
	stat, err := ParseProcStat(text)
	return stat, wrap("parse", path, err)
}

// errProcStat is the failure to parse a stat file.
var errProcStat = errors.New("not in the format of proc_pid_stat(5)")

// ParseProcStat decodes the text of a /proc/PID/stat. The second field is the program's
// name, which the program chooses: it may hold spaces, brackets and newlines, so the
// fields are counted from the last bracket.
func ParseProcStat(text []byte) (ProcStat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return ProcStat{}, errProcStat
	}
	fields := bytes.Fields(text[end+1:]) // fields[0] is field 3 of the man page
	const state, ppid, group, session, threads, start, resident, exitCode = 3, 4, 5, 6, 20, 22, 24, 52
	const utime, stime = 14, 15
	if len(fields) <= resident-state || len(fields[0]) != 1 {
		return ProcStat{}, errProcStat
	}
	stat := ProcStat{Comm: string(text[open+1 : end]), State: fields[0][0]}
	var errs [9]error
	var user, system uint64
	stat.PPid, errs[0] = strconv.Atoi(string(fields[ppid-state]))
	stat.Group, errs[1] = strconv.Atoi(string(fields[group-state]))
	stat.Session, errs[2] = strconv.Atoi(string(fields[session-state]))
	stat.Threads, errs[3] = strconv.Atoi(string(fields[threads-state]))
	stat.StartTicks, errs[4] = strconv.ParseUint(string(fields[start-state]), 10, 64)
	user, errs[5] = strconv.ParseUint(string(fields[utime-state]), 10, 64)
	system, errs[6] = strconv.ParseUint(string(fields[stime-state]), 10, 64)
	stat.CPUTicks = user + system
	stat.Resident, errs[7] = strconv.ParseInt(string(fields[resident-state]), 10, 64)
	if len(fields) > exitCode-state {
		var word int64
		word, errs[8] = strconv.ParseInt(string(fields[exitCode-state]), 10, 32)
		stat.ExitWord = uint32(word)
	}
	if errors.Join(errs[:]...) != nil {
		return ProcStat{}, errProcStat
	}
	return stat, nil
}
