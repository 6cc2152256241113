// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/sardine-run/sardine/internal/testnode"
)

// startTask runs a container in the background and returns its id. It is
// killed and removed when the test ends, unless the test did.
func startTask(t *testing.T, d *Daemon, ref, id string, args ...string) {
	t.Helper()
	words := append([]string{"--detach"}, d.flagsThen(ref, id, args)...)
	d.MustCtr(d.RunArgs(words...)...)
	t.Cleanup(func() {
		if out, err := d.Ctr("containers", "ls", "-q"); err == nil && contains(out, id) {
			_, _ = d.Ctr("tasks", "rm", "--force", id)
			d.MustCtr("containers", "rm", id)
		}
	})
}

// flagsThen splits "--flag... -- command..." and puts the image and the id
// where ctr wants them: between the two.
func (d *Daemon) flagsThen(ref, id string, args []string) []string {
	for i, arg := range args {
		if arg == "--" {
			flags := append([]string{}, args[:i]...)
			return append(append(flags, ref, id), args[i+1:]...)
		}
	}
	return append([]string{ref, id}, args...)
}

// contains tells whether one of the lines of text is the word.
func contains(text, word string) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == word {
			return true
		}
	}
	return false
}

// trapIsSet waits until a container has made /tmp/ready.
func trapIsSet(t *testing.T, d *Daemon, id string) {
	t.Helper()
	testnode.Eventually(t, "the trap is set", func() bool {
		_, err := d.Ctr(d.ExecArgs("--exec-id", "ready", id, "test", "-e", "/tmp/ready")...)
		return err == nil
	})
}

// status returns a task's line of "ctr tasks ls", without the id: pid and status.
func status(d *Daemon, id string) string {
	for line := range strings.Lines(d.MustCtr("tasks", "ls")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			return fields[2]
		}
	}
	return ""
}

// exitCode returns the code a task has stopped with.
func exitCode(t *testing.T, d *Daemon, id string) uint32 {
	t.Helper()
	container, err := d.Client().LoadContainer(d.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.Task(d.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	status, err := task.Status(d.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.ExitStatus
}

func TestRun(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	for _, test := range []struct {
		name  string
		flags []string
		args  []string
		want  string
	}{
		{"output", nil, []string{"echo", "hello"}, "hello\n"},
		{"environment", []string{"--env", "A=b"}, []string{"sh", "-c", "echo $A $PATH"}, "b /bin\n"},
		{"user", []string{"--user", "user"}, []string{"sh", "-c", "id -u; id -g; id -G"}, "1000\n1000\n1000 2000\n"},
		{"working directory", []string{"--cwd", "/tmp"}, []string{"pwd"}, "/tmp\n"},
		{"host name", []string{"--hostname", "somewhere"}, []string{"hostname"}, "somewhere\n"},
		{"first process", nil, []string{"sh", "-c", "echo $$"}, "1\n"},
		{"no network", nil, []string{"sh", "-c", "ls /sys/class/net"}, "lo\n"},
		{"read only", []string{"--read-only"}, []string{"sh", "-c", "touch /x 2>/dev/null || echo refused"}, "refused\n"},
		{"descriptors", nil, []string{"sh", "-c", "payload descriptors | grep -v eventpoll | grep -v eventfd | grep -v /proc | wc -l"}, "3\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			words := append([]string{"--rm"}, test.flags...)
			out, err := d.Ctr(d.RunArgs(append(append(words, ref, "c"), test.args...)...)...)
			if err != nil {
				t.Fatal(err)
			}
			if out != test.want {
				t.Errorf("printed %q, want %q", out, test.want)
			}
		})
	}
}

func TestRunExitCode(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		for _, test := range []struct {
			name string
			args []string
			want string
		}{
			{"code", []string{"sh", "-c", "exit 42"}, "exit status 42"},
			{"signal", []string{"sh", "-c", "sleep 600 & kill -9 $!; wait $!"}, "exit status 137"},
			{"first thread ends early", []string{"payload", "first-thread", "5"}, "exit status 5"},
		} {
			t.Run(test.name, func(t *testing.T) {
				_, err := d.Ctr(d.RunArgs(append([]string{"--rm", ref, "c"}, test.args...)...)...)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("ctr run: %v, want %s", err, test.want)
				}
			})
		}
	})
}

func TestRunInput(t *testing.T) {
	// Not by ctr run, which reads no more of the output once it knows of the end.
	d := StartDaemon(t)
	client, creator := newTalker(d)
	task := newTask(t, d, newContainer(t, d, d.ImportBusybox(), "one", oci.WithProcessArgs("cat")), creator)
	startProcess(t, d, task)
	input := strings.Repeat("0123456789abcdef", 1<<14) // four pipes full
	if _, err := io.WriteString(client, input); err != nil {
		t.Fatal(err)
	}
	client.typed.Close()
	must(t, task.CloseIO(d.Context(), containerd.WithStdinCloser))
	if code := waitProcess(t, d, task); code != 0 {
		t.Errorf("exit status %d", code)
	}
	client.close(t)
	if out := client.out.String(); out != input {
		t.Errorf("%d bytes came back of %d", len(out), len(input))
	}
	deleteTask(t, d, task)
}

func TestDetached(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		startTask(t, d, ref, "c", "sh", "-c", onTerm("exit 3"))
		if got := status(d, "c"); got != "RUNNING" {
			t.Fatalf("status %q, want RUNNING", got)
		}
		trapIsSet(t, d, "c")
		d.MustCtr("tasks", "kill", "c")
		testnode.Eventually(t, "the task has stopped", func() bool { return status(d, "c") == "STOPPED" })
		if code := exitCode(t, d, "c"); code != 3 {
			t.Errorf("exit code %d, want the trap's 3", code)
		}
		d.MustCtr("tasks", "rm", "c")
		d.MustCtr("containers", "rm", "c")
	})
}

func TestKill(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		startTask(t, d, ref, "c", "sleep", "600")
		d.MustCtr("tasks", "kill", "--signal", "SIGKILL", "c")
		testnode.Eventually(t, "the task has stopped", func() bool { return status(d, "c") == "STOPPED" })
		if code := exitCode(t, d, "c"); code != 128+9 {
			t.Errorf("exit code %d, want 137", code)
		}
		if _, err := d.Ctr("tasks", "kill", "c"); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("kill of a stopped task: %v, want not found", err)
		}
		if _, err := d.Ctr("tasks", "kill", "none"); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("kill of no task: %v, want not found", err)
		}
	})
}

func TestExec(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		startTask(t, d, ref, "c", "--env", "A=container", "--", "sleep", "600")
		for _, test := range []struct {
			name  string
			flags []string
			args  []string
			want  string
		}{
			{"output", nil, []string{"echo", "hello"}, "hello\n"},
			{"environment", nil, []string{"sh", "-c", "echo $A"}, "container\n"},
			{"user", []string{"--user", "1000:2000"}, []string{"sh", "-c", "id -u; id -g"}, "1000\n2000\n"},
			{"working directory", []string{"--cwd", "/etc"}, []string{"pwd"}, "/etc\n"},
			{"same processes", nil, []string{"cat", "/proc/1/cmdline"}, "sleep\x00600\x00"},
		} {
			t.Run(test.name, func(t *testing.T) {
				words := append([]string{"--exec-id", "e"}, test.flags...)
				out, err := d.Ctr(d.ExecArgs(append(append(words, "c"), test.args...)...)...)
				if err != nil {
					t.Fatal(err)
				}
				if out != test.want {
					t.Errorf("printed %q, want %q", out, test.want)
				}
			})
		}
		if _, err := d.Ctr(d.ExecArgs("--exec-id", "e", "c", "sh", "-c", "exit 9")...); err == nil || !strings.Contains(err.Error(), "exit status 9") {
			t.Errorf("exec of exit 9: %v", err)
		}
		out, err := d.CtrInput("through\n", d.ExecArgs("--exec-id", "e", "c", "cat")...)
		if err != nil || out != "through\n" {
			t.Errorf("exec of cat: %q, %v", out, err)
		}
		if _, err := d.Ctr(d.ExecArgs("--exec-id", "e", "c", "/nowhere")...); err == nil || !strings.Contains(err.Error(), "/nowhere") {
			t.Errorf("exec of a program that is not there: %v, want its name", err)
		}
	})
}

func TestProcesses(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	startTask(t, d, ref, "c", "sh", "-c", "sleep 600 & sleep 600 & wait")
	testnode.Eventually(t, "three processes run", func() bool {
		return strings.Count(d.MustCtr("tasks", "ps", "c"), "\n") == 4 // and a heading
	})
}

func TestPause(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	startTask(t, d, ref, "c", "sleep", "600")
	d.MustCtr("tasks", "pause", "c")
	if got := status(d, "c"); got != "PAUSED" {
		t.Errorf("status %q, want PAUSED", got)
	}
	d.MustCtr("tasks", "resume", "c")
	if got := status(d, "c"); got != "RUNNING" {
		t.Errorf("status %q, want RUNNING", got)
	}
}

func TestTaskMetrics(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		startTask(t, d, ref, "c", "sleep", "600")
		out := d.MustCtr("tasks", "metrics", "c")
		if !strings.Contains(out, "pids.current") && !strings.Contains(out, "pids.limit") {
			t.Errorf("no pids in the metrics:\n%s", out)
		}
	})
}

func TestRootless(t *testing.T) {
	// A root file system that is a directory, with no image and no snapshot.
	d := StartDaemon(t)
	root := filepath.Join(d.Dir, "rootfs")
	for _, dir := range []string{"bin", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := d.Ctr(d.RunArgs("--rm", "--rootfs", root, "c", "/bin/busybox", "echo", "bare")...)
	if err != nil || out != "bare\n" {
		t.Errorf("run on a directory: %q, %v", out, err)
	}
}

func TestBothRuntimes(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	d.Runtime = Sardine
	startTask(t, d, ref, "ours", "sleep", "600")
	d.Runtime = Runc
	startTask(t, d, ref, "runc", "sleep", "600")
	out := d.MustCtr("containers", "ls")
	wantAll(t, out, Sardine, Runc)
	for _, id := range []string{"ours", "runc"} {
		if got := status(d, id); got != "RUNNING" {
			t.Errorf("%s is %q, want RUNNING", id, got)
		}
		if out := d.MustCtr(d.ExecArgs("--exec-id", "e", id, "hostname")...); out == "" {
			t.Errorf("exec in %s printed nothing", id)
		}
	}
	if !shimRuns(t, d) {
		t.Error("no shim runs for the container that asked for one")
	}
}

// shimRuns tells whether a shim serves the daemon's namespace.
func shimRuns(t *testing.T, d *Daemon) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil &&
			strings.Contains(string(line), "containerd-shim") && strings.Contains(string(line), d.Namespace) {
			return true
		}
	}
	return false
}

func TestRunErrors(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	for _, test := range []struct {
		name  string
		flags []string
		args  []string
		want  string
	}{
		{"missing program", nil, []string{"/nowhere"}, "/nowhere"},
		{"not executable", nil, []string{"/etc"}, "/etc"},
		{"unknown user", []string{"--user", "nobody-here"}, []string{"true"}, "nobody-here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			words := append([]string{"--rm"}, test.flags...)
			_, err := d.Ctr(d.RunArgs(append(append(words, ref, "c"), test.args...)...)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ctr run: %v, want an error that names %s", err, test.want)
			}
			_, _ = d.Ctr("containers", "rm", "c")
		})
	}
}

func TestUnknownRuntime(t *testing.T) {
	d := StartDaemon(t, WithRuntime("io.example.none.v1"))
	ref := d.ImportBusybox()
	_, err := d.Ctr(d.RunArgs("--rm", ref, "c", "true")...)
	if err == nil || !strings.Contains(err.Error(), "io.example.none.v1") {
		t.Errorf("run with an unknown runtime: %v, want an error that names it", err)
	}
	_, _ = d.Ctr("containers", "rm", "c")
}

func TestForeground(t *testing.T) {
	// A signal to ctr goes on to the container.
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	cmd := d.CtrCommand(t.Context(), d.RunArgs("--rm", ref, "c", "sh", "-c", "trap 'exit 4' TERM; trap 'echo >/tmp/ready' WINCH; while :; do sleep 0.05; done")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// ctr passes signals on from a moment after the start; until then SIGTERM ends it, and this one does nothing.
	testnode.Eventually(t, "a signal goes on to the container", func() bool {
		_ = cmd.Process.Signal(syscall.SIGWINCH)
		_, err := d.Ctr(d.ExecArgs("--exec-id", "ready", "c", "test", "-e", "/tmp/ready")...)
		return err == nil
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("ctr run ended with %d after SIGTERM, want the container's 4", code)
	}
}
