// SPDX-License-Identifier: Apache-2.0

package tinyimage

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// maxSize keeps the promise of doc.go.
const maxSize = 3 << 10

var compilers = map[string]string{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}

func TestProgramIsSmallAndStatic(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for arch, machine := range machines {
		program, err := Program(arch)
		if err != nil {
			t.Fatal(err)
		}
		file, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		if len(program) > maxSize || file.Machine != machine || file.Type != elf.ET_EXEC {
			t.Errorf("%s: %d bytes, %s, %s", arch, len(program), file.Machine, file.Type)
		}
		for _, segment := range file.Progs {
			if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
				t.Errorf("%s is linked dynamically", arch)
			}
			if segment.Type == elf.PT_LOAD && segment.Flags&elf.PF_W != 0 {
				t.Errorf("%s has a writable segment: every copy would pay for it", arch)
			}
		}
	}
}

// TestProgramIsItsSource rebuilds the committed binaries. Another compiler
// makes other bytes; then the source is at least known to compile.
func TestProgramIsItsSource(t *testing.T) {
	for arch, compiler := range compilers {
		t.Run(arch, func(t *testing.T) {
			if _, err := exec.LookPath(compiler); err != nil {
				t.Skipf("%s is not installed", compiler)
			}
			built := filepath.Join(t.TempDir(), "tiny")
			if out, err := exec.Command("program/build.sh", arch, built).CombinedOutput(); err != nil {
				t.Fatalf("build.sh: %v\n%s", err, out)
			}
			got, err := os.ReadFile(built)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Program(arch)
			if err != nil {
				t.Fatal(err)
			}
			if comment(t, got) != comment(t, want) {
				t.Logf("committed with %q, here is %q: bytes not compared", comment(t, want), comment(t, got))
				return
			}
			if !bytes.Equal(got, want) {
				t.Error("the committed program is not what program/tiny.c compiles to; run go generate ./internal/tinyimage")
			}
		})
	}
}

// comment is the compiler's name and version as it notes them in its output.
func comment(t *testing.T, program []byte) string {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	section := file.Section(".comment")
	if section == nil {
		return ""
	}
	text, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimRight(text, "\x00"))
}

// tiny writes this machine's program to a file.
func tiny(t *testing.T) string {
	t.Helper()
	program, err := Program(runtime.GOARCH)
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "tiny")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestModes(t *testing.T) {
	path := tiny(t)
	for _, c := range []struct {
		args   string
		stdin  string
		output string
		status int
	}{
		{args: "true"},
		{args: "false", status: 1},
		{args: "exit 42", status: 42},
		{args: "exit"},
		{args: "echo", output: "\n"},
		{args: "echo one two", output: "one two\n"},
		{args: "sleep 0"},
		{args: "dance", output: "usage", status: 2},
		{args: "", output: "usage", status: 2},
	} {
		t.Run(c.args, func(t *testing.T) {
			output, err := exec.Command(path, strings.Fields(c.args)...).Output()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			status := 0
			if exit != nil {
				status = exit.ExitCode()
			}
			if status != c.status || !strings.HasPrefix(string(output), c.output) {
				t.Errorf("status %d, output %q; want %d, %q", status, output, c.status, c.output)
			}
		})
	}
}

func TestNameIsAMode(t *testing.T) {
	path := tiny(t)
	link := filepath.Join(filepath.Dir(path), "echo")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(link, "hi").Output()
	if err != nil || string(output) != "hi\n" {
		t.Errorf("echo hi: %q, %v", output, err)
	}
}

func TestTalkAnswersAndEndsOnSIGTERM(t *testing.T) {
	cmd := exec.Command(tiny(t), "talk")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	answers := bufio.NewReader(stdout)
	for _, word := range []string{"hello", "", strings.Repeat("x", 255)} {
		if _, err := stdin.Write([]byte(word + "\n")); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.ReadString('\n')
		if err != nil || !strings.HasSuffix(answer, "heard: "+word+"\n") || !strings.HasPrefix(answer, "container ") {
			t.Errorf("to %q: %q, %v", word, answer, err)
		}
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v, want status 0", err)
	}
}
