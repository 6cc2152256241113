// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// shelf is a Keeper that outlives Streams.
type shelf struct {
	mu    sync.Mutex
	files map[string][]*os.File
}

func (s *shelf) Keep(role string, files ...*os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[role] != nil {
		panic(role + " is kept already")
	}
	s.files[role] = duplicates(files)
}

// Take returns the files in another order, which is nothing to rely on.
func (s *shelf) Take(role string) []*os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := duplicates(s.files[role])
	slices.Reverse(files)
	return files
}

func duplicates(files []*os.File) []*os.File {
	var list []*os.File
	for _, f := range files {
		f, err := kernel.Dup(f)
		if err != nil {
			panic(err)
		}
		list = append(list, f)
	}
	return list
}

func (s *shelf) Drop(role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closeAll(s.files[role]...)
	delete(s.files, role)
}

func (s *shelf) roles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.files))
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{files: map[string][]*os.File{}}
	t.Cleanup(func() {
		for _, role := range s.roles() {
			s.Drop(role)
		}
	})
	return s
}

func openKept(t *testing.T, cfg Config, keeper Keeper, pump *Pump) *Streams {
	t.Helper()
	s, err := Open(t.Context(), cfg, Options{UID: -1, Pump: pump, Keeper: keeper})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resume(t *testing.T, cfg Config, opts Options, closed bool) *Streams {
	t.Helper()
	s, err := Resume(cfg, opts, closed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Hangup)
	return s
}

// abandon closes what the end of the daemon closes, and nothing more.
func abandon(t *testing.T, s *Streams, pump *Pump) {
	t.Helper()
	if err := pump.Close(); err != nil {
		t.Fatal(err)
	}
	closeAll(s.keep)
	if s.terminal != nil {
		closeAll(s.terminal.master)
	}
}

// TestResumeTerminal: neither program nor client notices that the daemon is replaced.
func TestResumeTerminal(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	stdout := reader(t, out)
	cfg := Config{Stdin: in, Stdout: out, Terminal: true}
	kept, first := newShelf(t), &Pump{}
	s := openKept(t, cfg, kept, first)
	onTerminal(t, s, `trap "" HUP; read word; echo "got $word"; read word; stty size; echo "got $word"`)
	client, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.WriteString("one\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("one\r\ngot one\r\n"))
	if _, err := io.ReadFull(stdout, answer); err != nil || !strings.HasSuffix(string(answer), "got one\r\n") {
		t.Fatalf("%q, %v", answer, err)
	}
	abandon(t, s, first)
	if _, err := client.WriteString("two\n"); err != nil { // waits in the FIFO
		t.Fatal(err)
	}
	s = resume(t, cfg, Options{Pump: newPump(t), Keeper: kept}, false)
	if err := s.Resize(100, 30); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, stdout); !strings.HasSuffix(got, "got two\r\n") || !strings.Contains(got, "\n") {
		t.Errorf("after the restart: %q", got)
	}
	if roles := kept.roles(); !slices.Equal(roles, []string{roleStdin}) {
		t.Errorf("kept after the terminal's end: %q", roles)
	}
	s.Close(t.Context())
	if roles := kept.roles(); len(roles) != 0 {
		t.Errorf("kept after Close: %q", roles)
	}
}

// TestResumeStdin: the input of a program stays open, or closed.
func TestResumeStdin(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	in := mkfifo(t, "in")
	cfg := Config{Stdin: in}
	kept, first := newShelf(t), &Pump{}
	s := openKept(t, cfg, kept, first)
	program, err := kernel.Dup(s.Files()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if err := s.ReleaseFiles(); err != nil {
		t.Fatal(err)
	}
	if err := kernel.SetNonblock(int(program.Fd()), true); err != nil {
		t.Fatal(err)
	}
	waits := func() bool {
		_, err := kernel.ReadFD(int(program.Fd()), make([]byte, 1))
		return errors.Is(err, unix.EAGAIN)
	}
	abandon(t, s, first)
	if !waits() {
		t.Error("the program saw the end of its input")
	}
	s = resume(t, cfg, Options{Keeper: kept}, false)
	kept.Drop(roleStdin) // what is left is the daemon's own
	if !waits() {
		t.Error("the daemon's end was not resumed")
	}
	if s.CloseStdin(); waits() {
		t.Error("CloseStdin does not end the input")
	}
	if resume(t, cfg, Options{Keeper: kept}, true); waits() || len(kept.roles()) != 0 {
		t.Error("an input that was closed was opened again")
	}
}

// deadDaemon is set in the process that TestPumpKilled kills.
const deadDaemon = "STDIO_TEST_DAEMON"

func TestMain(m *testing.M) {
	if text := os.Getenv(deadDaemon); text != "" {
		liveUntilKilled(text)
	}
	os.Exit(m.Run())
}

// liveUntilKilled copies for a terminal whose descriptors it has inherited, 3 and above.
func liveUntilKilled(text string) {
	var cfg Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		panic(err)
	}
	kept := &shelf{files: map[string][]*os.File{
		roleTerminal: {os.NewFile(3, "kept"), os.NewFile(4, "kept"), os.NewFile(5, "kept")},
	}}
	if _, err := Resume(cfg, Options{Pump: &Pump{}, Keeper: kept}, false); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	select {}
}

// TestPumpKilled kills a daemon again and again while a program prints numbered lines, and
// another one copies the lines that it reads: none is lost, doubled or out of order.
func TestPumpKilled(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	const enough = 40
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	stdout := reader(t, out)
	cfg := Config{Stdin: in, Stdout: out, Terminal: true}
	kept, first := newShelf(t), &Pump{}
	s := openKept(t, cfg, kept, first)
	onTerminal(t, s, "trap '' HUP; stty -echo -icanon -opost; echo; exec cat")
	typist, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer typist.Close()
	input := bufio.NewReader(stdout)
	if _, err := input.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	abandon(t, s, first)
	if err := stdout.SetReadDeadline(time.Now().Add(testnode.Patience)); err != nil {
		t.Fatal(err)
	}

	killed := make(chan struct{})
	typed := make(chan error, 1)
	go func() { typed <- typeNumbers(typist, killed) }()
	read := make(chan error, 1)
	go func() { read <- readNumbers(input) }()
	for kills := 0; len(read) == 0; kills++ {
		if kills == enough {
			close(killed)
		}
		copyForAWhile(t, cfg, kept)
	}
	for _, result := range []chan error{read, typed} {
		if err := <-result; err != nil {
			t.Fatal(err) // what was not read may keep the other one
		}
	}
}

// noNumber is the line after the last number.
const noNumber = "end\n"

// typeNumbers types a number a line, from 0, until it is told that it was enough.
func typeNumbers(typist io.Writer, enough <-chan struct{}) error {
	for next := 0; ; {
		var text bytes.Buffer
		for ; text.Len() < 4096; next++ {
			fmt.Fprintln(&text, next)
		}
		if _, err := typist.Write(text.Bytes()); err != nil {
			return err
		}
		select {
		case <-enough:
			_, err := io.WriteString(typist, noNumber)
			return err
		default:
		}
	}
}

func readNumbers(input *bufio.Reader) error {
	for want := 0; ; want++ {
		line, err := input.ReadString('\n')
		if err != nil || line == noNumber {
			return err
		}
		if line != strconv.Itoa(want)+"\n" {
			return fmt.Errorf("line %d is %q", want, line)
		}
	}
}

// copyForAWhile has another process copy, and kills it.
func copyForAWhile(t *testing.T, cfg Config, kept *shelf) {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), deadDaemon+"="+string(text))
	cmd.ExtraFiles = kept.files[roleTerminal]
	cmd.Stderr = os.Stderr
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
