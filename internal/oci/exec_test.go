// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// inNamespaces starts a process that lives until the test ends.
func inNamespaces(t *testing.T, flags uintptr) int {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making namespaces needs root")
	}
	cmd := exec.Command("/bin/cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestExecJoinsWhatDiffers(t *testing.T) {
	flags := uintptr(unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNS | unix.CLONE_NEWPID)
	pid := inNamespaces(t, flags)
	pidfd := os.NewFile(uintptr(openDevNull(t)), "pidfd")
	defer pidfd.Close()
	req, _, err := Exec(readSpec(t, "containerd-default.json"), &specs.Process{Args: []string{"true"}, Cwd: "/"}, pid, pidfd, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if n := req.Namespaces; n.ProcessFlags != flags || n.Process != pidfd || n.New != 0 || n.Join != nil {
		t.Errorf("%+v, want flags %#x", n, flags)
	}
	if p := req.Plan; p.Root != nil || p.Mounts != nil || p.UnshareCgroup || p.JoinMount != plan.NoFD || p.JoinCgroup != plan.NoFD {
		t.Errorf("the container is set up again: %+v", p)
	}
}

func openDevNull(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestExecProcess: what the process says counts, the container fills the gaps.
func TestExecProcess(t *testing.T) {
	spec, opts := readSpec(t, "kubernetes.json"), testOptions()
	var c compiler
	opts.Seccomp = &c
	spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "1"}

	bare := &specs.Process{Args: []string{"true"}, Cwd: "/"}
	req, _, err := Exec(spec, bare, os.Getpid(), nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	p := req.Plan.Process
	if p.UID != 0 || p.NoNewPrivs || p.Terminal {
		t.Errorf("taken from the container: %+v", p)
	}
	if p.Capabilities.Ambient != 1<<unix.CAP_NET_BIND_SERVICE || *p.OOMScoreAdj != 993 || p.Umask != 0o033 ||
		len(p.Rlimits) != 1 || p.IOPriority != 2<<13|6 || p.Personality == nil || p.Seccomp == nil {
		t.Errorf("not taken from the container: %+v", p)
	}
	if !slices.Equal(p.CPUAffinity, []byte{2, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("affinity %v", p.CPUAffinity)
	}

	score, umask := 5, uint32(0)
	own := &specs.Process{
		Args: []string{"sh"}, Cwd: "/tmp", Env: []string{"A=b"}, Terminal: true, NoNewPrivileges: true,
		User: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}, Umask: &umask}, OOMScoreAdj: &score,
		Capabilities:    &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
		Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}},
		IOPriority:      &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 1},
		Scheduler:       &specs.Scheduler{Policy: specs.SchedBatch},
		ExecCPUAffinity: &specs.CPUAffinity{Initial: "0"},
	}
	req, _, err = Exec(spec, own, os.Getpid(), nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	five, linux32 := int64(5), uint64(8)
	want := plan.Process{
		Args: []string{"sh"}, Env: []string{"A=b"}, Cwd: "/tmp", UID: 5, GID: 6, Groups: []uint32{7}, Umask: 0,
		Capabilities: &plan.Capabilities{Bounding: 1 << unix.CAP_KILL}, NoNewPrivs: true,
		Rlimits:     []plan.Rlimit{{Resource: unix.RLIMIT_CORE}},
		OOMScoreAdj: &five, Scheduler: &plan.Scheduler{Policy: unix.SCHED_BATCH}, IOPriority: 1<<13 | 1,
		CPUAffinity: []byte{1, 0, 0, 0, 0, 0, 0, 0}, Personality: &linux32, KeyringName: "_ses.c1",
		Seccomp: &plan.Seccomp{Program: []byte{1}}, Terminal: true,
	}
	if got := req.Plan.Process; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestExecErrors(t *testing.T) {
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	good := func() *specs.Process { return &specs.Process{Args: []string{"true"}, Cwd: "/"} }
	affinity := good()
	affinity.ExecCPUAffinity = &specs.CPUAffinity{Final: "x"}
	for _, test := range []struct {
		want    string
		class   error
		process *specs.Process
		pid     int
	}{
		{`exec in container "c1": there is no process`, errdefs.ErrInvalidArgument, nil, os.Getpid()},
		{"there is no program to run", errdefs.ErrInvalidArgument, &specs.Process{Cwd: "/"}, os.Getpid()},
		{"has exited", errdefs.ErrFailedPrecondition, good(), gone.Process.Pid},
		{`execCPUAffinity.final: "x"`, errdefs.ErrInvalidArgument, affinity, os.Getpid()},
	} {
		_, _, err := Exec(readSpec(t, "containerd-default.json"), test.process, test.pid, nil, testOptions())
		if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, test.class) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}
