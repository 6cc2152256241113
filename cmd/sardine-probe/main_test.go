// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/probe"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		code       int
		text, errs string
	}{
		"file " + path + " --validity 1h":  {probe.Success, "file " + path + ": modified ", ""},
		"file " + path + "x --validity 1h": {probe.Failure, "does not exist", ""},
		"file volume:none/x --validity 1h": {probe.Failure, "from inside only volumes that are no file system of their own", ""},
		"tcp " + port:                      {probe.Success, "connected", ""},
		"all alive -- tcp " + port:         {probe.Success, "all: ", ""},
		"file " + path:                     {probe.Misuse, "", "--validity is missing"},
		"":                                 {probe.Misuse, "", "usage: sardine-probe"},
		"--help":                           {probe.Misuse, "Sardine answers this command itself", ""},
	} {
		var out, errs strings.Builder
		code := run(strings.Fields(args), &out, &errs)
		if code != want.code || !strings.Contains(out.String(), want.text) || !strings.Contains(errs.String(), want.errs) || (want.errs == "") != (errs.Len() == 0) {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

// TestVolume: a bind mount tells which directory of the node it is of.
func TestVolume(t *testing.T) {
	testnode.NeedRoot(t)
	base := t.TempDir()
	source, at := filepath.Join(base, "pods/uid/volumes/kubernetes.io~empty-dir/of-the-test"), filepath.Join(base, "at")
	for _, dir := range []string{source, at} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(source, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	if err := unix.Mount(source, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	code := run([]string{"file", "volume:of-the-test/file", "--validity", "1h"}, &out, &errs)
	if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if code != probe.Success || !strings.HasPrefix(out.String(), "file volume:of-the-test/file: modified") {
		t.Errorf("exit code %d, %q, %q", code, out.String(), errs.String())
	}
}
