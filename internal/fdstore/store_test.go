// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestPutTakeRemove(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	in, out := newPipe(t), newPipe(t)
	put(t, s, "task/default/box//stdin", in.write)
	put(t, s, "log/box", out.read)
	wantLen(t, s, 2)
	die(s)

	s = p.open(Holder)
	wantLen(t, s, 2)
	read := take(t, s, "log/box")
	wantSame(t, read, out.read)
	out.write.WriteString("output")
	wantText(t, read, "output")
	if again := s.Take("log/box"); again != nil {
		t.Errorf("taken twice: %v", again)
	}
	if other := s.Take("log/other"); other != nil {
		t.Errorf("never put: %v", other)
	}
	wantLen(t, s, 2)
	s.Remove("log/box")
	wantLen(t, s, 1)
	die(s)

	s = p.open(Holder)
	if gone := s.Take("log/box"); gone != nil {
		t.Errorf("was removed: %v", gone)
	}
	wantSame(t, take(t, s, "task/default/box//stdin"), in.write)
}

// What is taken stays kept for the next daemon.
func TestTakenIsKept(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	pipe := newPipe(t)
	put(t, s, "log/box", pipe.read)
	for range 3 {
		die(s)
		s = p.open(Holder)
		wantSame(t, take(t, s, "log/box"), pipe.read)
	}
}

func TestSeveralUnderOneName(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	stdout, stderr := newPipe(t), newPipe(t)
	put(t, s, "log/box", stdout.read, stderr.read)
	wantLen(t, s, 2)
	die(s)
	s = p.open(Holder)
	files := s.Take("log/box")
	if len(files) != 2 {
		t.Fatalf("%d descriptors, want 2", len(files))
	}
	for _, f := range files {
		defer f.Close()
	}
	wantSame(t, files[0], stdout.read)
	wantSame(t, files[1], stderr.read)
	s.Remove("log/box")
	wantLen(t, s, 0)
}

// A name that is used again has what it was used for last.
func TestPutReplaces(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	first, second, third := newPipe(t), newPipe(t), newPipe(t)
	put(t, s, "log/box", first.read)
	put(t, s, "log/box", second.read)
	wantLen(t, s, 1)
	die(s)
	s = p.open(Holder)
	put(t, s, "log/box", third.read)
	wantLen(t, s, 1)
	if old := s.Take("log/box"); old != nil {
		t.Errorf("an earlier daemon's: %v", old)
	}
	die(s)
	wantSame(t, take(t, p.open(Holder), "log/box"), third.read)
}

func TestPrune(t *testing.T) {
	p := newPlace(t)
	s := p.open(Holder)
	for _, name := range []string{"log/a", "log/b", "task/a", "task/b"} {
		put(t, s, name, newPipe(t).read)
	}
	die(s)
	s = p.open(Holder)
	put(t, s, "log/c", newPipe(t).read)
	take(t, s, "log/a")
	s.Prune("log/")
	wantLen(t, s, 4)
	if pruned := s.Take("log/b"); pruned != nil {
		t.Errorf("log/b: %v", pruned)
	}
	die(s)
	s = p.open(Holder)
	for _, name := range []string{"log/a", "log/c", "task/a", "task/b"} {
		take(t, s, name)
	}
	die(s)
	s = p.open(Holder)
	s.Prune("")
	wantLen(t, s, 0)
}

func TestPutRefuses(t *testing.T) {
	s := newPlace(t).open(Holder)
	pipe := newPipe(t)
	closed, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for what, c := range map[string]struct {
		name  string
		files []*os.File
		is    func(error) bool
	}{
		"no name":      {"", []*os.File{pipe.read}, errdefs.IsInvalidArgument},
		"no part":      {"box", []*os.File{pipe.read}, errdefs.IsInvalidArgument},
		"a colon":      {"log/a:b", []*os.File{pipe.read}, errdefs.IsInvalidArgument},
		"a newline":    {"log/a\nFDSTOREREMOVE=1", []*os.File{pipe.read}, errdefs.IsInvalidArgument},
		"too long":     {"log/" + strings.Repeat("x", 252), []*os.File{pipe.read}, errdefs.IsInvalidArgument},
		"nothing":      {"log/box", nil, errdefs.IsInvalidArgument},
		"too much":     {"log/box", slices.Repeat([]*os.File{pipe.read}, 254), errdefs.IsInvalidArgument},
		"a closed one": {"log/box", []*os.File{pipe.read, closed}, func(error) bool { return true }},
	} {
		if err := s.Put(c.name, c.files...); err == nil || !c.is(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantLen(t, s, 0)
}

func TestFullStore(t *testing.T) {
	s := newPlace(t).open(Holder)
	s.keeper.max = 3
	put(t, s, "log/a", newPipe(t).read, newPipe(t).read)
	if err := s.Put("log/b", newPipe(t).read, newPipe(t).read); !errdefs.IsResourceExhausted(err) {
		t.Errorf("the fourth of three: %v", err)
	}
	wantLen(t, s, 2)
	s.Remove("log/a")
	put(t, s, "log/b", newPipe(t).read, newPipe(t).read)
}

func TestNoStore(t *testing.T) {
	none, err := Open(t.Context(), Options{Kind: None})
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]*Store{"nil": nil, "zero": {}, "none": none} {
		put(t, s, "log/box", newPipe(t).read)
		s.Remove("log/box")
		s.Prune("log/")
		if s.Kind() != None || s.Len() != 0 || s.Take("log/box") != nil || s.Close() != nil {
			t.Errorf("%s: keeps something", what)
		}
	}
}

func TestUnknownKind(t *testing.T) {
	_, err := Open(t.Context(), Options{Kind: "disk"})
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `"disk"`) {
		t.Errorf("%v", err)
	}
}

// Keys are what daemons of different versions agree on.
func TestKey(t *testing.T) {
	for name, want := range map[string]string{
		"log/0123456789abcdef": "l6p2QPkFjevo",
		"task/default/box//in": "thCZQHTIaLXc",
	} {
		got, err := keyOf(name)
		if err != nil || got != want || !isKey(got) {
			t.Errorf("key of %s is %q, %v; want %q", name, got, err, want)
		}
	}
	for _, foreign := range []string{"", "stored", "sardined.socket", "unknown", "l/not-base64!"} {
		if isKey(foreign) {
			t.Errorf("%q is taken for a key", foreign)
		}
	}
}

// A program can be started with as many descriptors as Put lets into systemd's store.
func TestNamesFitIntoEnvironment(t *testing.T) {
	key, err := keyOf("log/box")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	names := func(n uint64) string {
		return "LISTEN_FDNAMES=" + strings.Join(slices.Repeat([]string{key}, int(n)), ":")
	}
	cmd.Env = []string{names(mostPassed)}
	if err := cmd.Run(); err != nil {
		t.Errorf("%d names: %v", mostPassed, err)
	}
	cmd = exec.Command("true")
	cmd.Env = []string{names(mostPassed + 2)}
	if err := cmd.Run(); err == nil {
		t.Errorf("%d names fit, too: the limit is too low", mostPassed+2)
	}
}

// Put and Remove are in every container's start and end.
func BenchmarkPutRemove(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("beside %d", n), func(b *testing.B) {
			p := newPlace(b)
			s := p.open(Holder)
			for i := range n {
				put(b, s, fmt.Sprintf("log/%064d", i), newPipe(b).read)
			}
			stdout, stderr := newPipe(b), newPipe(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Put("log/box", stdout.read, stderr.read); err != nil {
					b.Fatal(err)
				}
				s.Remove("log/box")
			}
		})
	}
}

// What the store adds to the daemon's start: with a holder to be started, and with one that holds a
// thousand descriptors.
func BenchmarkOpen(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		p := newPlace(b)
		for b.Loop() {
			if err := p.open(Holder).Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("with 1000", func(b *testing.B) {
		p := newPlace(b)
		s := p.open(Holder)
		for i := range 1000 {
			put(b, s, fmt.Sprintf("log/%064d", i), newPipe(b).read)
		}
		die(s)
		for b.Loop() {
			die(p.open(Holder))
		}
	})
}
