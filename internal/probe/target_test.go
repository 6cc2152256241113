// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/nsdial"
	"github.com/sardine-run/sardine/internal/testnode"
)

// place is a Target of directories.
type place struct {
	id      string
	root    string
	volumes map[string]string
	dead    error // what Alive says
}

func (p place) ID() string { return p.id }

func (p place) Root() (*os.File, error) { return openDirectory(p.root) }

func (p place) Volume(name string) (*os.File, error) {
	if dir, ok := p.volumes[name]; ok {
		return openDirectory(dir)
	}
	return nil, errors.New("there is no such volume")
}

func openDirectory(path string) (*os.File, error) {
	return kernel.Open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func (p place) Dial(ctx context.Context, addresses ...netip.AddrPort) (net.Conn, error) {
	conn, err := nsdial.TCP(ctx, nil, net.Dialer{}, addresses...)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (p place) Alive() error { return p.dead }

// ask runs a probe to its end. Arguments are separated by spaces.
func ask(t testing.TB, target Target, args string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
	defer cancel()
	return askWith(t, ctx, &Prober{}, target, strings.Fields(args)...)
}

func askWith(t testing.TB, ctx context.Context, p *Prober, target Target, args ...string) (code int, output string) {
	t.Helper()
	done, err := p.Run(ctx, target, append([]string{Name}, args...))
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	checkText(t, args, done)
	return done.ExitCode, strings.TrimSuffix(string(done.Stdout)+string(done.Stderr), "\n")
}

// checkText looks at what every answer has: one line, on one output.
func checkText(t testing.TB, args []string, done *Result) {
	t.Helper()
	out, errs := string(done.Stdout), string(done.Stderr)
	if done.ExitCode != Misuse && (errs != "" || strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") || len(out) > maxText+4) {
		t.Errorf("%q: %d bytes of output, errors %q: %q", args, len(out), errs, cut(out, 200))
	}
	if strings.IndexFunc(out+errs, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) >= 0 {
		t.Errorf("%q: control characters in %q", args, out+errs)
	}
}

func want(t testing.TB, target Target, args string, code int, text string) {
	t.Helper()
	if got, output := ask(t, target, args); got != code || !strings.Contains(output, text) {
		t.Errorf("%s: exit code %d, %q; want %d, %q", args, got, output, code, text)
	}
}

// nothingLeft checks at the end of the test that what was made since is gone: goroutines of probes and their libraries, descriptors, threads.
func nothingLeft(t testing.TB) {
	t.Helper()
	before := len(descriptors(t))
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			if left = goroutines(); len(left) == 0 && len(descriptors(t)) <= before {
				return
			}
		}
		t.Errorf("%d descriptors, before %d; goroutines %s", len(descriptors(t)), before, strings.Join(left, "\n\n"))
	})
}

func descriptors(t testing.TB) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// goroutines are those that a probe may have begun.
func goroutines() (found []string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(g, "testing.(*T)") && !strings.Contains(g, "internal/probe.") || strings.Contains(g, "probe.goroutines") {
			continue
		}
		for _, mark := range []string{"internal/probe.", "internal/nsdial.", "net/http.", "google.golang.org/grpc"} {
			if strings.Contains(g, mark) && !strings.Contains(g, "testing.tRunner(") {
				found = append(found, g)
				break
			}
		}
	}
	return found
}
