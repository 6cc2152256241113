// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Version is a kernel release, as far as features go: 6.18.
type Version struct{ Major, Minor int }

func (v Version) String() string { return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor) }

// Before reports whether v is older than other.
func (v Version) Before(other Version) bool {
	return v.Major < other.Major || v.Major == other.Major && v.Minor < other.Minor
}

// RunningVersion returns the version and the full release, "6.1.0-18-amd64", of the running
// kernel: uname(2).
func RunningVersion() (Version, string, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return Version{}, "", wrap("uname", "", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	version, err := ParseVersion(release)
	return version, release, err
}

// ParseVersion reads the first two numbers of a release.
func ParseVersion(release string) (Version, error) {
	major, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	var v Version
	var errMajor, errMinor error
	v.Major, errMajor = strconv.Atoi(major)
	v.Minor, errMinor = strconv.Atoi(rest[:end])
	if errMajor != nil || errMinor != nil || v.Major < 0 {
		return Version{}, errors.New("kernel release " + strconv.Quote(release) + " does not begin with two numbers")
	}
	return v, nil
}
