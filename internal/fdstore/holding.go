// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	// startPatience bounds finding or starting a holder.
	startPatience = 10 * time.Second
	// answerPatience bounds the wait for each packet of its answer: without that no daemon starts, however busy the node is.
	answerPatience = 20 * time.Second
	// pause is the time between two looks at a holder that is about to start or to end.
	pause = 2 * time.Millisecond
)

// holding finds and starts the holder of a directory.
type holding struct {
	path string // of the directory
	init string // path of sardine-init
}

// dial returns a socket to a holder that runs.
func (h *holding) dial() (int, error) {
	dir, err := h.open()
	if err != nil {
		return -1, err
	}
	defer dir.Close()
	return dial(dir)
}

// connect returns a socket to the holder, which it starts when there is none.
func (h *holding) connect() (int, error) {
	if err := os.MkdirAll(h.path, 0o700); err != nil {
		return -1, err
	}
	if err := os.Chmod(h.path, 0o700); err != nil {
		return -1, err
	}
	dir, err := h.open()
	if err != nil {
		return -1, err
	}
	defer dir.Close()
	for deadline := time.Now().Add(startPatience); ; time.Sleep(pause) {
		socket, err := dial(dir)
		if !isGone(err) {
			return socket, err
		}
		// With the lock taken, somebody else starts one, or one ends.
		if err := h.start(dir); err != nil && (!errors.Is(err, errLocked) || time.Now().After(deadline)) {
			return -1, err
		}
	}
}

// open opens the directory. Paths in it may be too long for the address of a socket.
func (h *holding) open() (*os.File, error) {
	return kernel.Open(h.path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func at(dir *os.File, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + name
}

func dial(dir *os.File) (int, error) { return kernel.DialDatagram(at(dir, holder.SocketName)) }

// isGone reports that nobody has the socket that was dialed.
func isGone(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT)
}

// errLocked says that there is a holder, although it does not answer.
var errLocked = errors.New("the lock of the holder of descriptors is taken")

// start starts a holder. The lock is taken first and passed on, so that there is one at most;
// the socket takes messages from here on.
func (h *holding) start(dir *os.File) error {
	lock, err := kernel.LockFD(at(dir, holder.LockName))
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s/%s", errLocked, h.path, holder.LockName)
	}
	if err != nil {
		return err
	}
	lockFile := os.NewFile(uintptr(lock), holder.LockName)
	defer lockFile.Close()
	name := at(dir, holder.SocketName)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	socket, err := kernel.BindDatagram(name)
	if err != nil {
		return err
	}
	socketFile := os.NewFile(uintptr(socket), holder.SocketName)
	defer socketFile.Close()
	return h.run(socketFile, lockFile)
}

func (h *holding) run(socket, lock *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.init, holder.Args(h.path)...)
	var said bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{"GOMAXPROCS=1"}, &said
	cmd.ExtraFiles = []*os.File{socket, lock}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("start the holder of descriptors: %s: %w: %s", h.init, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// inventory is what a holder has.
type inventory struct {
	pid, max int
	found    descriptors
}

// list asks the holder for copies of all that it holds, and makes it see when this daemon ends.
func list(k *keeper) (*inventory, error) {
	ends, err := kernel.PacketPair()
	if err != nil {
		return nil, err
	}
	err = k.send(holder.Message{Order: holder.List}, ends[1])
	kernel.Close(ends[1])
	if err == nil {
		err = kernel.SetReceiveTimeout(ends[0], answerPatience)
	}
	has := &inventory{found: descriptors{}}
	if err == nil {
		err = has.read(ends[0])
	}
	if err != nil {
		kernel.Close(ends[0])
		has.found.dropAll()
		return nil, err
	}
	k.life = ends[0]
	return has, nil
}

func (i *inventory) read(socket int) error {
	packet, control := make([]byte, holder.MaxReply), kernel.ControlBuffer()
	for first := true; ; first = false {
		r, err := kernel.ReceiveRights(socket, packet, control, 0)
		switch {
		case err != nil:
			return stuck(fmt.Errorf("no answer in %v: %w", answerPatience, err))
		case r.Length == 0:
			return errLost
		}
		done, err := i.add(packet[:r.Length], &r, first)
		if err != nil {
			kernel.Close(r.Rights...)
			return stuck(err)
		}
		if done {
			return nil
		}
	}
}

// stuck says what can be done about a holder that is of no use.
func stuck(err error) error {
	return fmt.Errorf("the holder of descriptors: %w (where nothing else helps, kill the process sardine-fdstore, and what it holds is lost)", err)
}

// add notes what is in a packet. On error its descriptors are still the caller's.
func (i *inventory) add(packet []byte, r *kernel.Received, first bool) (done bool, err error) {
	reply, err := holder.ParseReply(packet)
	switch {
	case err != nil:
		return false, err
	case first && reply.Version != holder.Version:
		return false, fmt.Errorf("it is of version %d, which this daemon does not know: %w", reply.Version, errdefs.ErrNotImplemented)
	case r.Truncated || len(reply.Names) != len(r.Rights):
		return false, fmt.Errorf("%d names for %d descriptors", len(reply.Names), len(r.Rights))
	case first:
		i.pid, i.max = reply.PID, reply.Max
	}
	for n, fd := range r.Rights {
		i.found.add(reply.Names[n], fd)
	}
	return reply.Done, nil
}
