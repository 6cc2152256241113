// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// Launcher starts processes from one sealed copy of sardine-init. Its methods may be
// called from many goroutines.
type Launcher struct {
	init    *os.File // sealed memfd
	devNull *os.File
	slots   *slots
	births  *births
	mask    *os.File // nil: every container makes its own
}

// New copies the sardine-init at path into memory. The copy is sealed: nothing that
// runs from it can change what the next container runs.
func New(path string) (*Launcher, error) {
	l := &Launcher{mask: newMask(), births: newBirths(runtime.GOMAXPROCS(0))}
	if err := l.open(path); err != nil {
		return nil, errors.Join(fmt.Errorf("launch: %w", err), l.Close())
	}
	return l, nil
}

func (l *Launcher) open(path string) (err error) {
	if l.devNull, err = os.OpenFile("/dev/null", os.O_RDWR, 0); err != nil {
		return err
	}
	var both errgroup.Group // one waits for the kernel
	both.Go(func() (err error) { l.slots, err = newSlots(l.devNull); return err })
	both.Go(func() (err error) { l.init, err = sealedCopy(path); return err })
	return both.Wait()
}

// Close releases the copy. Processes that were launched are not affected.
func (l *Launcher) Close() error {
	if l.slots != nil {
		l.slots.close()
	}
	var errs []error
	for _, f := range []*os.File{l.init, l.devNull, l.mask} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Launch clones sardine-init and returns when the container is furnished and the
// process waits for Start ("created" in the OCI runtime spec). On error nothing is
// left of it except, when host.Born succeeded, an ended process to be reaped
// there. The error of a system call that failed has its errno. Cancelling ctx gives up. req is used up: its Plan is changed.
func (l *Launcher) Launch(ctx context.Context, req *Request, stdio Stdio, cgroup Cgroup, host Host) (*Process, error) {
	p, err := l.launch(ctx, req, stdio, cgroup, host)
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	return p, nil
}

func (l *Launcher) launch(ctx context.Context, req *Request, stdio Stdio, cgroup Cgroup, host Host) (*Process, error) {
	var files inheritance
	defer files.close()
	conn, err := files.socketpair()
	if err != nil {
		return nil, err
	}
	err = l.inherit(&files, req, stdio)
	var p *Process
	if err == nil {
		p, err = l.clone(ctx, &files, req, cgroup, host.Turn)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	files.close() // a mount held open here would outlive the container
	p.listener = host.SeccompListener
	c := conversation{Process: p, conn: conn, req: req, host: host, cgroup: cgroup}
	if err := c.hold(ctx); err != nil {
		conn.Close()
		p.abandon(c.born)
		return nil, err
	}
	return p, nil
}

// inherit collects everything the process gets as a descriptor and writes the numbers
// into the Plan.
func (l *Launcher) inherit(files *inheritance, req *Request, stdio Stdio) error {
	for i := range stdio {
		files.borrow(i, stdioFile(stdio[i], l.devNull))
	}
	p := req.Plan
	users := userNamespaces{launcher: l}
	defer users.close()
	if p.Root != nil {
		tree, err := rootfs.Open(req.Rootfs, req.RootMapping, users.get)
		if err != nil {
			return err
		}
		p.Root.FD = files.add(os.NewFile(uintptr(tree), "rootfs"))
		l.inheritMask(files, p)
	}
	for i := range req.Binds {
		if err := inheritBind(files, p, &req.Binds[i], users.get); err != nil {
			return err
		}
	}
	for i, path := range req.DeviceNodes {
		tree, _, err := rootfs.Bind{Source: path}.Open(nil)
		if err != nil {
			return fmt.Errorf("device %s: %w", path, err)
		}
		p.Devices[i].FD = files.add(os.NewFile(uintptr(tree), path))
	}
	return files.addNamespaces(req)
}

func inheritBind(files *inheritance, p *plan.Plan, b *Bind, users rootfs.UserNamespace) error {
	m := &p.Mounts[b.Mount]
	tree, directory, err := rootfs.Bind{
		Source: b.Source, Tree: b.Tree, Recursive: b.Recursive,
		Set: m.Attr.Set, Clear: m.Attr.Clear, SetAll: m.Recursive.Set, ClearAll: m.Recursive.Clear,
		Propagation: m.Propagation, Mapping: b.Mapping, MapAll: b.MapAll,
	}.Open(users)
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Destination, err)
	}
	m.FD, m.File = files.add(os.NewFile(uintptr(tree), b.Source)), !directory
	return nil
}

func stdioFile(f, devNull *os.File) *os.File {
	if f == nil {
		return devNull
	}
	return f
}

// sealedCopy returns a memfd with the content of path that can never change again:
// fcntl(2), F_ADD_SEALS.
func sealedCopy(path string) (*os.File, error) {
	from, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	fd, err := kernel.MemfdExec("sardine-init")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "sardine-init")
	// Not in one piece, which would be a large part of a starting daemon's heap, nor by copy_file_range(2), which cannot.
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{from}, make([]byte, 128<<10)); err != nil {
		f.Close()
		return nil, err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("fcntl F_ADD_SEALS: %w", err)
	}
	return f, nil
}
