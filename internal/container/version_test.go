// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// TestUnknownVersion: a record that this daemon does not know how to read stops it before it has changed
// anything, whatever else is in it, wherever it lies.
func TestUnknownVersion(t *testing.T) {
	for name, test := range map[string]struct{ file, text string }{
		"container": {"later/" + recordName, `{"version": 2, "process": "is written in another way"}`},
		"text":      {"later/" + recordName, `{"version": "1.5"}`},
		"exec":      {"one/" + execPrefix + "e.json", `{"version":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			c := n.run("one", "sleep 1000")
			half := filepath.Join(n.Dir, n.namespace, "half") // would be removed
			file := filepath.Join(n.Dir, n.namespace, test.file)
			for _, dir := range []string{half, filepath.Dir(file)} {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			next, err := New(Config{Dir: n.Dir, Cgroups: n.Cgroups, Exits: n.Exits})
			if err != nil {
				t.Fatal(err)
			}
			before := listFiles(t, n.state)
			err = next.Load(t.Context())
			if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "knows version 1") {
				t.Errorf("Load: %v", err)
			}
			if len(next.List("")) != 0 || next.Counts() != (Counts{}) {
				t.Errorf("it has %d containers, %+v", len(next.List("")), next.Counts())
			}
			if after := listFiles(t, n.state); !slices.Equal(before, after) {
				t.Errorf("it has changed\n%q\nto\n%q", before, after)
			}
			if state := c.Status().State; state != Running {
				t.Errorf("the container is %s", state)
			}
			for _, path := range []string{half, filepath.Join(n.Dir, n.namespace, "later"), file} {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// listFiles lists the files below dir.
func listFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestRecordsOfFirstRelease: 0.1.0 wrote no version.
func TestRecordsOfFirstRelease(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 1000")
	e := n.runExec(c, "e", "sleep 1001")
	cg, err := json.Marshal(c.cgroup.Record())
	if err != nil {
		t.Fatal(err)
	}
	id := func(p *process) string {
		return fmt.Sprintf(`{"pid":%d,"startTicks":%d}`, p.identity.Pid, p.identity.StartTicks)
	}
	n.restart(func() {
		dir := n.dir(c.key)
		for name, text := range map[string]string{
			recordName: fmt.Sprintf(`{"namespace":%q,"id":"one","cgroup":%s,"process":%s,"stdio":{},"created":"2026-01-02T03:04:05.000000006Z"}`,
				n.namespace, cg, id(c.init)),
			e.file(): `{"id":"e","process":` + id(e.process) + `,"stdio":{}}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	c = n.get("one")
	if c.Status().State != Running || c.Created().Year() != 2026 {
		t.Errorf("%+v, created %v", c.Status(), c.Created())
	}
	if e, err = c.GetExec("e"); err != nil || e.Status().State != Running {
		t.Errorf("exec: %v", err)
	}
	if got := n.Counts(); got.Adopted != 1 {
		t.Errorf("%+v", got)
	}
}

func TestPhasesAndCounts(t *testing.T) {
	n := newNode(t)
	told := map[string]int{}
	n.Phase = func(name string, _ time.Duration) { told[name]++ }
	c := n.run("one", "exit 0")
	n.wait(c)
	n.delete(c)
	for _, name := range []string{"container.create.cgroup", "container.create.ready", "container.start.program", "container.delete.record"} {
		if told[name] != 1 {
			t.Errorf("%s: told %d times", name, told[name])
		}
	}
	spec := n.spec("true")
	spec.Process.Args = []string{"/nowhere"}
	if _, err := n.Create(t.Context(), n.request("two", spec)); err == nil {
		t.Error("a program that is not there runs")
	}
	if got := n.Counts(); got != (Counts{Launched: 1, LaunchFailed: 1}) {
		t.Errorf("%+v", got)
	}
}
