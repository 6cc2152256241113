// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestParse(t *testing.T) {
	for uri, want := range map[string]target{
		"":                                {},
		"/run/a fifo?x%y":                 {kind: path, path: "/run/a fifo?x%y"},
		"fifo:///run/f":                   {kind: path, path: "/run/f"},
		"file:///var/log/a%20b":           {kind: file, path: "/var/log/a b"},
		"binary:///bin/l?b=2&a=1&b=3&c":   {kind: binary, path: "/bin/l", args: []string{"b", "2", "a", "1", "c", ""}},
		"binary:///bin/l?a%20b=%2Fx&%zz=": {kind: binary, path: "/bin/l", args: []string{"a b", "/x"}},
		"binary-v2:///bin/l":              {kind: binary, path: "/bin/l", strict: true},
	} {
		got, err := parse("stdout", uri)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parse(%q) = %+v, %v; want %+v", uri, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for uri, why := range map[string]string{
		"relative":          "absolute path",
		"./x":               "absolute path",
		"http://host/x":     "unknown scheme",
		"file://relative/x": "absolute path",
		"file:x":            "absolute path",
		"binary://":         "absolute path",
		"file:///a%00b":     "absolute path",
		"fi\x7fle:///x":     "not a URI",
	} {
		_, err := parse("stderr", uri)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), why) || !strings.HasPrefix(err.Error(), "stderr ") {
			t.Errorf("parse(%q): %v; want stderr, %q and ErrInvalidArgument", uri, err, why)
		}
	}
}

func TestTargets(t *testing.T) {
	const log = "binary:///bin/l"
	_, out, errs, err := Config{Stdout: log, Stderr: "/ignored"}.targets()
	if err != nil || out.kind != binary || !reflect.DeepEqual(out, errs) {
		t.Errorf("a logging program takes both: %+v, %+v, %v", out, errs, err)
	}
	_, _, errs, err = Config{Stdout: "/f", Stderr: "bad", Terminal: true}.targets()
	if err != nil || errs.kind != null {
		t.Errorf("a terminal has no stderr: %+v, %v", errs, err)
	}
	for _, cfg := range []Config{{Stdin: log}, {Stderr: log}, {Stdout: "/f", Stderr: log}} {
		if _, _, _, err := cfg.targets(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v; want ErrInvalidArgument", cfg, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "/f", "file:///x", "binary:///b?a=b&c", "fifo://h/x", "%", "a:b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := parse("stdin", uri)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v has no class", err)
			}
			return
		}
		if got.kind != null && !filepath.IsAbs(got.path) {
			t.Errorf("parse(%q) accepts the path %q", uri, got.path)
		}
		if len(got.args)%2 != 0 {
			t.Errorf("parse(%q) has arguments %q", uri, got.args)
		}
	})
}
