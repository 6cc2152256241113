// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/internal/throwaway"
)

// daemons are those a run is tested against: ours, and containerd with runc
// where make tools built them.
var daemons = []struct{ binary, needs, runtime string }{
	{"sardined", "sardine-init", DefaultRuntime},
	{"tools/containerd", "tools/runc", "io.containerd.runc.v2"},
}

// eachDaemon runs a test against every daemon there is, with a namespace of its
// own, and sees to it that nothing is left on the node.
func eachDaemon(t *testing.T, test func(t *testing.T, o Options)) {
	t.Helper()
	eachStarted(t, throwaway.Start, test)
}

func eachStarted(t *testing.T, start func(ctx context.Context, binary, extraPath string) (*throwaway.Daemon, error), test func(t *testing.T, o Options)) {
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	for _, d := range daemons {
		t.Run(filepath.Base(d.binary), func(t *testing.T) {
			bin, err := filepath.Abs("../../bin")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{d.binary, d.needs} {
				if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
					t.Skipf("%v; run make all tools first", err)
				}
			}
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			namespace := "stress-test-" + filepath.Base(filepath.Dir(tmp))
			testnode.CheckClean(t, testnode.Options{Dirs: []string{tmp}, Cgroups: []string{"/" + namespace}, Files: []string{tmp}})
			daemon, err := start(t.Context(), filepath.Join(bin, d.binary), filepath.Join(bin, filepath.Dir(d.binary)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the end of the daemon's log:\n%s", daemon.LogTail(80))
				}
				if err := daemon.Stop(); err != nil {
					t.Error(err)
				}
			})
			test(t, Options{
				Address: daemon.Socket, Namespace: namespace, Runtime: d.runtime,
				Concurrency: 2, Timeout: time.Minute, MaxErrors: 3,
			})
		})
	}
}

// interrupt runs what goes on for longer than a minute and interrupts it, as by a signal, after a second; later where a machine is too slow
// for that: what is interrupted before its first container is an error. The context has no deadline, which a server would learn of and might
// see pass first.
func interrupt(t *testing.T, o Options) {
	t.Helper()
	for after := time.Second; ; after *= 2 {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(after, cancel)
		r, err := Run(ctx, o)
		cancel()
		switch took := time.Since(began); {
		case err != nil && took < time.Minute:
			t.Logf("interrupted after %s: %v", after, err)
			continue
		case err != nil:
			t.Fatal(err)
		case r.Errors > 0 || !r.Interrupted || took > after+time.Minute:
			t.Errorf("interrupted %t after %s, ended after %s, with %d errors: %v", r.Interrupted, after, took, r.Errors, r.ErrorKinds)
		}
		return
	}
}

func mustRun(t *testing.T, ctx context.Context, o Options) *Result {
	t.Helper()
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors > 0 {
		t.Fatalf("%d errors: %v", r.Errors, r.ErrorKinds)
	}
	return r
}

func counts(r *Result) map[string]int {
	n := make(map[string]int)
	for _, p := range r.Phases {
		n[p.Name] = p.Count
	}
	return n
}

func TestRunCount(t *testing.T) {
	eachDaemon(t, func(t *testing.T, o Options) {
		for _, library := range []bool{false, true} {
			o.Count, o.Library = 5, library
			r := mustRun(t, t.Context(), o)
			if n := counts(r); r.Containers != 5 || n["start"] != 5 || n["delete"] != 5 || n["exec"] != 0 {
				t.Errorf("library %t: %d containers, phases %v", library, r.Containers, n)
			}
		}
	})
}

func TestRunExecs(t *testing.T) {
	eachDaemon(t, func(t *testing.T, o Options) {
		for _, library := range []bool{false, true} {
			o.Count, o.Execs, o.Library = 2, 3, library
			r := mustRun(t, t.Context(), o)
			if n := counts(r); r.Containers != 2 || n["exec"] != 6 {
				t.Errorf("library %t: %d containers, phases %v", library, r.Containers, n)
			}
		}
	})
}

func TestRunHold(t *testing.T) {
	eachDaemon(t, func(t *testing.T, o Options) {
		o.Hold = 4
		r := mustRun(t, t.Context(), o)
		if n := counts(r); r.Hold.Running != 4 || n["start"] != 4 || n["delete"] != 4 {
			t.Errorf("%d running, phases %v", r.Hold.Running, n)
		}
	})
}

func TestRunCountsErrors(t *testing.T) {
	eachDaemon(t, func(t *testing.T, o Options) {
		for _, library := range []bool{false, true} {
			o.Count, o.Runtime, o.Library, o.Concurrency = 10, "io.containerd.none.v1", library, 1
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Containers != 0 || r.Errors != o.MaxErrors || len(r.ErrorKinds) != 1 || !strings.Contains(r.ErrorKinds[0].Text, "io.containerd.none.v1") {
				t.Errorf("library %t: %d containers, %d errors: %v", library, r.Containers, r.Errors, r.ErrorKinds)
			}
		}
	})
}

func TestRunInterrupted(t *testing.T) {
	eachDaemon(t, func(t *testing.T, o Options) {
		o.Duration = 10 * time.Minute
		interrupt(t, o)
	})
}
