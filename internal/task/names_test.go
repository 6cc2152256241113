// SPDX-License-Identifier: Apache-2.0

package task

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func TestNames(t *testing.T) {
	with, without := t.TempDir(), t.TempDir()
	for _, name := range []string{"containerd-shim-runc-v2", "containerd-shim-kata-v2"} {
		if err := os.WriteFile(filepath.Join(with, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		stock, path, runtime string
		ours                 bool
		class                func(error) bool
	}{
		{"", without, "", true, nil},
		{"", without, Name, true, nil},
		{"shim", with, Name, true, nil},
		{"auto", with, runcName, false, nil},
		{"auto", without, runcName, true, nil},
		{"shim", with, runcName, false, nil},
		{"shim", without, runcName, false, errdefs.IsNotFound},
		{"sardine", with, runcName, true, nil},
		{"auto", with, "io.containerd.kata.v2", false, nil},
		{"auto", without, "io.containerd.kata.v2", false, errdefs.IsNotFound},
		{"auto", without, "/usr/bin/shim", false, nil},
		{"auto", with, "nonsense", false, errdefs.IsInvalidArgument},
		{"auto", with, "./relative", false, errdefs.IsInvalidArgument},
	} {
		t.Setenv("PATH", test.path)
		n, err := newNames(test.stock)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := n.ours(test.runtime)
		if test.class == nil && err != nil || test.class != nil && !test.class(err) || ours != test.ours {
			t.Errorf("%+v: %v, %v", test, ours, err)
		}
	}
}

func TestNamesRefuse(t *testing.T) {
	if _, err := newNames("docker"); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}
