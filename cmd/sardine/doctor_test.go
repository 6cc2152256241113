// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestDoctorFailsOnlyWhenSardinedCannotRun(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: without it sardined cannot run")
	}
	bin, empty := t.TempDir(), t.TempDir()
	for _, name := range []string{"sardined", "sardine-init"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", empty) // many optional things are missing then
	run := func(args ...string) error {
		args = append([]string{"doctor", "--root", empty, "--state", empty, "--json"}, args...)
		return doctorCommand().Run(t.Context(), args)
	}
	if err := run("--daemon", filepath.Join(bin, "sardined")); err != nil {
		t.Errorf("with all that is required: %v", err)
	}
	if err := run("--daemon", filepath.Join(empty, "sardined")); !errors.Is(err, errNotRunnable) {
		t.Errorf("without a daemon: %v", err)
	}
	if err := run("surplus"); err == nil || errors.Is(err, errNotRunnable) {
		t.Errorf("surplus argument: %v", err)
	}
}
