// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

// kind is what a stream is connected with.
type kind int

const (
	null   kind = iota // /dev/null
	path               // a FIFO or another existing file
	file               // a file to append to, made when missing
	binary             // a logging program
)

// target is a parsed stream of Config.
type target struct {
	kind   kind
	path   string
	args   []string // of a logging program
	strict bool     // binary-v2: the program must say that it is ready
}

// parse reads a path or URI as containerd's clients write them: "" for none, a bare path
// or fifo:// for a FIFO, file:///path, binary:///path?argument=value and binary-v2://.
func parse(stream, uri string) (target, error) {
	if uri == "" {
		return target{}, nil
	}
	if filepath.IsAbs(uri) { // not through url.Parse: a path may hold a "%" or "?"
		return target{kind: path, path: uri}, nil
	}
	u, err := url.Parse(uri)
	if err != nil {
		return target{}, invalid(stream, uri, "is not a URI")
	}
	t := target{path: u.Path}
	switch u.Scheme {
	case "fifo":
		t.kind = path
	case "file":
		t.kind = file
	case "binary", "binary-v2":
		t.kind, t.strict = binary, u.Scheme == "binary-v2"
		t.args = arguments(u.RawQuery)
	case "":
		return target{}, invalid(stream, uri, "is not an absolute path")
	default:
		return target{}, invalid(stream, uri, "has an unknown scheme; want fifo, file, binary or binary-v2")
	}
	if u.Host != "" || !filepath.IsAbs(t.path) || strings.ContainsRune(t.path, 0) {
		return target{}, invalid(stream, uri, "must hold an absolute path, as in "+u.Scheme+":///path")
	}
	return t, nil
}

func invalid(stream, uri, why string) error {
	return fmt.Errorf("%s %q %s: %w", stream, uri, why, errdefs.ErrInvalidArgument)
}

// arguments turns the query of a binary URI into the program's arguments: each key,
// followed by its first value. They keep the order of the query, where containerd's own
// parser shuffles them.
func arguments(query string) []string {
	var args []string
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key, kerr := url.QueryUnescape(key)
		value, verr := url.QueryUnescape(value)
		if pair == "" || kerr != nil || verr != nil || seen[key] {
			continue
		}
		seen[key] = true
		args = append(args, key, value)
	}
	return args
}
