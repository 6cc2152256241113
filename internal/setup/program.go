// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// defaultPath is searched when the environment has no PATH: execvp(3).
const defaultPath = "/bin:/usr/bin"

// findProgram returns the path of Args[0] in the container, so that a missing binary
// is reported when the container is created rather than when it is started.
func findProgram(p *plan.Process) (string, error) {
	name := p.Args[0]
	if hasSlash(name) {
		path := name
		if path[0] != '/' {
			path = p.Cwd + "/" + path
		}
		return path, named(name, executable(path))
	}
	path, ok := variable(p.Env, "PATH")
	if !ok {
		path = defaultPath
	}
	denied := false
	for _, dir := range splitList(path) {
		if dir == "" {
			dir = "."
		}
		if dir[0] != '/' {
			dir = p.Cwd + "/" + dir
		}
		err := executable(dir + "/" + name)
		if err == nil {
			return dir + "/" + name, nil
		}
		denied = denied || errors.Is(err, unix.EACCES)
	}
	if denied {
		return "", named(name, unix.EACCES)
	}
	return "", &programError{name, errors.New("executable file not found in $PATH of the container"), unix.ENOENT}
}

// executable returns nil when path is a file that may be executed.
func executable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, 0)
}

// programError is worded the way os/exec words it.
type programError struct {
	name  string
	cause error
	errno unix.Errno
}

func (e *programError) Error() string {
	return "exec: " + strconv.Quote(e.name) + ": " + e.cause.Error()
}
func (e *programError) Unwrap() error { return e.errno }

func named(name string, err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	return &programError{name, errors.New(errno.Error() + " in container"), errno}
}

// environment is the process's environment with HOME, if it is missing, taken from
// the container's /etc/passwd, as login(1) would.
func environment(p *plan.Process) []string {
	if _, ok := variable(p.Env, "HOME"); ok {
		return p.Env
	}
	return append(p.Env, "HOME="+home(p.UID))
}

// maxPasswd bounds how much of the container's /etc/passwd is read, in bytes.
const maxPasswd = 1 << 20

// home looks up the home directory of uid; "/" when there is none.
func home(uid uint32) string {
	fd, err := kernel.OpenInRoot(unix.AT_FDCWD, "/etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "/"
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "/"
	}
	text := make([]byte, min(st.Size, maxPasswd))
	n, err := unix.Pread(fd, text, 0)
	if err != nil {
		return "/"
	}
	return homeIn(string(text[:n]), uid)
}

// homeIn finds the sixth field of the line whose third is uid: passwd(5).
func homeIn(passwd string, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for len(passwd) > 0 {
		var line string
		line, passwd = cut(passwd, '\n')
		var field [6]string
		for i := range field {
			field[i], line = cut(line, ':')
		}
		if field[2] == want && field[5] != "" {
			return field[5]
		}
	}
	return "/"
}

func variable(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if key, value := cut(env[i], '='); key == name {
			return value, true
		}
	}
	return "", false
}

func splitList(path string) []string {
	var dirs []string
	for {
		var dir string
		had := len(path)
		dir, path = cut(path, ':')
		dirs = append(dirs, dir)
		if had == len(dir) {
			return dirs
		}
	}
}

// cut splits s at the first sep, which is in neither part.
func cut(s string, sep byte) (before, after string) {
	for i := range len(s) {
		if s[i] == sep {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func hasSlash(s string) bool {
	before, _ := cut(s, '/')
	return len(before) != len(s)
}
