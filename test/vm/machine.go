// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine is one qemu, owned by the goroutine that calls run.
type machine struct {
	base    baseImage
	payload string // disk image
	tmp     string // where qemu keeps what the guest writes
	accel   string // kvm or emulation
	cmdline string // added to the kernel's
	report  *report
	console tail
}

// What qemu calls its ways to run a processor.
const (
	kvm       = "kvm"
	emulation = "tcg,thread=multi"
)

// errNoBoot is returned for a guest that did not reach its script in time.
var errNoBoot = errors.New("the guest did not boot")

// bootLimit is several times what booting takes. A KVM that does not run the
// guest spins without a word, so the short limit is also its probe.
func (m *machine) bootLimit() time.Duration {
	if m.accel == kvm {
		return 15 * time.Second
	}
	return 4 * time.Minute
}

// powerOffLimit leaves systemd's forced poweroff time to write back.
const powerOffLimit = 30 * time.Second

// run boots the guest and returns when it is gone, killed if ctx ends first.
// The verdict is in the report; an error says that there is none.
func (m *machine) run(ctx context.Context) error {
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	m.console.alarm = func() { kill(errNoBoot) }
	results, guest, err := os.Pipe()
	if err != nil {
		return err
	}
	defer results.Close()
	cmd := m.command(ctx)
	cmd.ExtraFiles = []*os.File{guest}

	// The kernel ties Pdeathsig to the thread that forked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start qemu: %w", err), guest.Close())
	}
	if err := guest.Close(); err != nil {
		return err
	}
	var watch sync.WaitGroup
	watch.Go(func() { m.watch(ctx, kill) })
	readErr := m.report.read(results)
	err = cmd.Wait()
	cause := context.Cause(ctx)
	kill(nil)
	watch.Wait()
	return m.verdict(cause, errors.Join(readErr, err))
}

// watch ends a guest that takes too long to boot or to switch itself off. How
// long it may take in between is the caller's business.
func (m *machine) watch(ctx context.Context, kill context.CancelCauseFunc) {
	select {
	case <-m.report.booted:
	case <-time.After(m.bootLimit()):
		kill(errNoBoot)
	case <-ctx.Done():
	}
	select {
	case <-m.report.done:
	case <-ctx.Done():
	}
	select {
	case <-time.After(powerOffLimit):
		kill(errors.New("the guest did not switch off"))
	case <-ctx.Done():
	}
}

// verdict chooses what to say about a guest that is gone.
func (m *machine) verdict(cause, err error) error {
	switch {
	case isClosed(m.report.done):
		return nil
	case cause != nil:
		return fmt.Errorf("%w, %s", cause, m.report.pending())
	case err != nil:
		return fmt.Errorf("qemu stopped %s: %w", m.report.pending(), err)
	}
	return fmt.Errorf("the guest stopped %s without a verdict", m.report.pending())
}

func (m *machine) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", m.accel, "-cpu", "max", "-smp", "2", "-m", "2048",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.base.kernel(), "-initrd", m.base.initrd(),
		"-append", "console=ttyS0 root=/dev/vda rw quiet loglevel=5 panic=-1 "+m.cmdline,
		"-drive", "file="+m.base.disk()+",format=raw,if=virtio,snapshot=on,cache=unsafe",
		"-drive", "file="+m.payload+",format=raw,if=virtio,readonly=on",
		"-device", "virtio-rng-pci", "-serial", "stdio",
		"-device", "virtio-serial-pci", "-chardev", "file,id=results,path=/dev/fd/3",
		"-device", "virtserialport,chardev=results,nr=1,name=sardine.results")
	cmd.Env = append(os.Environ(), "TMPDIR="+m.tmp)
	cmd.Stdout, cmd.Stderr = &m.console, &m.console
	// Not even kill -9 of this process leaves qemu behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// accelerators lists what to try, best first. /dev/kvm is worth it when it
// opens. Whether it runs a guest is another matter: some nested hypervisors
// offer one that fails in the middle of a boot.
func accelerators() []string {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil || f.Close() != nil {
		return []string{emulation}
	}
	return []string{kvm, emulation}
}

// tail keeps the last part of what is written to it, and calls alarm on a line
// that says that the machine stands still, which qemu does not end by itself.
type tail struct {
	data  []byte
	alarm func()
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if t.alarm != nil && bytes.Contains(t.data, []byte("KVM internal error")) {
		t.alarm()
		t.alarm = nil
	}
	if len(t.data) > 2*tailBytes {
		t.data = bytes.Clone(t.data[len(t.data)-tailBytes:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.ReplaceAll(string(t.data[max(0, len(t.data)-tailBytes):]), "\r", "")
}
