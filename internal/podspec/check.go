// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"math"
	"path"
	"strings"
)

// Bounds on what a request may hold. They are above anything Kubernetes lets through.
const (
	maxName        = 1024      // names and other short words
	maxLine        = 4096      // lines
	maxPath        = 4095      // PATH_MAX without its NUL
	maxLabel       = 4096      // one label, key and value: containerd's store takes no more
	maxAnnotations = 512 << 10 // all of them; the API server takes half
	maxArgument    = 32*4096 - 1
	maxID          = math.MaxInt32 // of users and groups, as for other runtimes
)

// checkText refuses the one byte that no system call takes.
func checkText(field, s string, most int) error {
	if len(s) > most {
		return invalid("%s: %d bytes, at most %d are taken", field, len(s), most)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return invalid("%s: %s contains a NUL byte", field, quoted(s))
	}
	return nil
}

// checkLine refuses control characters: such a value would end up in several lines of
// a file, a log or a label.
func checkLine(field, s string, most int) error {
	if len(s) > most {
		return invalid("%s: %d bytes, at most %d are taken", field, len(s), most)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return invalid("%s: %s contains a control character", field, quoted(s))
		}
	}
	return nil
}

// checkName is for what becomes part of a file's name.
func checkName(field, s string) error {
	if s == "." || s == ".." || strings.Contains(s, "/") {
		return invalid("%s: %s cannot be a file's name", field, quoted(s))
	}
	return checkLine(field, s, maxName)
}

// checkRelative refuses a path that leads out of where it starts.
func checkRelative(field, s string) error {
	if err := checkLine(field, s, maxPath); err != nil {
		return err
	}
	for element := range strings.SplitSeq(s, "/") {
		if element == ".." {
			return invalid("%s: %s contains \"..\"", field, quoted(s))
		}
	}
	return nil
}

// checkPath is for absolute paths.
func checkPath(field, s string) error {
	if !path.IsAbs(s) {
		return invalid("%s: %s is not an absolute path", field, quoted(s))
	}
	return checkRelative(field, s)
}

func checkPaths(field string, list []string) error {
	for _, s := range list {
		if err := checkPath(field, s); err != nil {
			return err
		}
	}
	return nil
}

// checkID is for the number of a user or a group.
func checkID(field string, id int64) error {
	if id < 0 || id > maxID {
		return invalid("%s: %d is not between 0 and %d", field, id, int64(maxID))
	}
	return nil
}

func checkIDs(field string, list []int64) error {
	for _, id := range list {
		if err := checkID(field, id); err != nil {
			return err
		}
	}
	return nil
}

// checkLabels bounds each entry, as containerd's store does.
func checkLabels(field string, labels map[string]string) error {
	for k, v := range labels {
		if k == "" {
			return invalid("%s: a key is empty", field)
		}
		if len(k)+len(v) > maxLabel {
			return invalid("%s: %s: %d bytes with its value, at most %d are taken", field, quoted(k), len(k)+len(v), maxLabel)
		}
		if err := checkLine(field, k, maxLabel); err != nil {
			return err
		}
		if err := checkText(field+": "+k, v, maxLabel); err != nil {
			return err
		}
	}
	return nil
}

// checkAnnotations bounds all of them together, as the API server does.
func checkAnnotations(field string, annotations map[string]string) error {
	total := 0
	for k, v := range annotations {
		if k == "" {
			return invalid("%s: a key is empty", field)
		}
		if err := checkLine(field, k, maxLine); err != nil {
			return err
		}
		if err := checkText(field+": "+k, v, maxAnnotations); err != nil {
			return err
		}
		total += len(k) + len(v)
	}
	if total > maxAnnotations {
		return invalid("%s: %d bytes in all, at most %d are taken", field, total, maxAnnotations)
	}
	return nil
}
