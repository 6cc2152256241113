// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"
)

const (
	// layoutVersion is part of the pins' names. It changes with the program or the layout
	// of its map, so that a new daemon never reads an old layout.
	layoutVersion = 1

	pinPrefix = "exits_v"
)

// pins are the paths under which program and map survive the daemon. bpffs allows no dots.
type pins struct {
	tracked string
	link    string
}

// newPins names the pins for a daemon in the pid namespace with the given inode, as the
// program knows processes by their pid in that namespace.
func newPins(dir string, pidNamespace uint32) pins {
	stem := filepath.Join(dir, fmt.Sprintf("%s%d_%d", pinPrefix, layoutVersion, pidNamespace))
	return pins{tracked: stem + "_tracked", link: stem + "_link"}
}

// openRecorder opens what an earlier daemon has pinned, or loads the program and pins it.
func openRecorder(opts Options) (*recorder, error) {
	if opts.BPFDir == "" {
		return nil, fmt.Errorf("eBPF is switched off: %w", errdefs.ErrFailedPrecondition)
	}
	if err := prepareDir(opts); err != nil {
		return nil, err
	}
	pidNamespace, err := ownPidNamespace()
	if err != nil {
		return nil, err
	}
	pins := newPins(opts.BPFDir, pidNamespace)
	if err := removePins(opts.BPFDir, pins); err != nil { // of other versions
		return nil, err
	}
	if recorder, err := pins.open(); err == nil {
		return recorder, nil
	}
	return pins.create(pidNamespace)
}

// open opens existing pins.
func (p pins) open() (*recorder, error) {
	tracked, err := ebpf.LoadPinnedMap(p.tracked, nil)
	if err != nil {
		return nil, err
	}
	attached, err := link.LoadPinnedLink(p.link, nil)
	if err != nil {
		tracked.Close()
		return nil, err
	}
	return &recorder{tracked: tracked, link: attached, pins: p}, nil
}

// remove removes the pins, and the directory if nothing else is in it.
func (p pins) remove() error {
	if p == (pins{}) {
		return nil
	}
	err := errors.Join(removePin(p.link), removePin(p.tracked))
	_ = os.Remove(filepath.Dir(p.link)) // fails if it is not empty
	return err
}

// create loads and attaches the program. The link is pinned last: where it exists the map
// does, and a daemon that died in between has tracked nothing yet.
func (p pins) create(pidNamespace uint32) (*recorder, error) {
	if err := errors.Join(removePin(p.link), removePin(p.tracked)); err != nil { // half of a pair
		return nil, err
	}
	recorder, err := attachRecorder(pidNamespace)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(recorder.tracked.Pin(p.tracked), recorder.link.Pin(p.link)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin eBPF exit recorder: %w", err), p.remove(), recorder.close())
	}
	recorder.pins = p
	return recorder, nil
}

// TryBPF loads and attaches the eBPF program without pinning it, and drops it again: to
// find out why New cannot.
func TryBPF() error {
	pidNamespace, err := ownPidNamespace()
	if err != nil {
		return err
	}
	recorder, err := attachRecorder(pidNamespace)
	if err != nil {
		return err
	}
	return recorder.close()
}

// attachRecorder loads the program and has it run. It ends with the last of descriptor and pin.
func attachRecorder(pidNamespace uint32) (*recorder, error) {
	if err := checkTimeNamespace(); err != nil {
		return nil, err
	}
	var objects recorderObjects
	if err := loadProgram(&objects, pidNamespace); err != nil {
		return nil, err
	}
	defer objects.RecordExit.Close() // the link holds it
	attached, err := link.AttachTracing(link.TracingOptions{
		Program:    objects.RecordExit,
		AttachType: ebpf.AttachTraceRawTp,
	})
	if err != nil {
		objects.Tracked.Close()
		return nil, fmt.Errorf("attach eBPF program to sched_process_exit: %w", err)
	}
	return &recorder{tracked: objects.Tracked, link: attached, decoded: true}, nil
}

func loadProgram(objects *recorderObjects, pidNamespace uint32) error {
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return fmt.Errorf("the kernel has no type information (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	spec, err := loadRecorder()
	if err != nil {
		return fmt.Errorf("decode eBPF exit recorder: %w", err)
	}
	if err := spec.Variables[recorderVarPidNamespaceInum].Set(pidNamespace); err != nil {
		return fmt.Errorf("configure eBPF exit recorder: %w", err)
	}
	if err := spec.LoadAndAssign(objects, nil); err != nil {
		return fmt.Errorf("load eBPF exit recorder: %w", err)
	}
	return nil
}

// RemovePins ends the recording of the daemon that has its pins in dir, drops its records
// and removes dir: for a daemon that was killed and will not come back. No error if there
// are none.
func RemovePins(dir string) error {
	err := removePins(dir, pins{})
	_ = os.Remove(dir) // fails if something else is in it
	return err
}

// removePins removes every pin of this package in dir but those of keep.
func removePins(dir string, keep pins) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list eBPF pins: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if strings.HasPrefix(entry.Name(), pinPrefix) && path != keep.tracked && path != keep.link {
			errs = append(errs, removePin(path))
		}
	}
	return errors.Join(errs...)
}

func removePin(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove eBPF pin: %w", err)
	}
	return nil
}

// ownPidNamespace returns the inode of the pid namespace the daemon runs in.
func ownPidNamespace() (uint32, error) {
	var stat unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &stat); err != nil {
		return 0, fmt.Errorf("stat /proc/self/ns/pid: %w", err)
	}
	return uint32(stat.Ino), nil
}

// checkTimeNamespace refuses a time namespace with an offset: start times in /proc would
// differ from those the program sees.
func checkTimeNamespace() error {
	text, err := os.ReadFile("/proc/self/timens_offsets")
	if err != nil {
		return nil // kernel without time namespaces
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "boottime" && (fields[1] != "0" || fields[2] != "0") {
			return fmt.Errorf("the daemon runs in a time namespace with an offset: %w", errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}
