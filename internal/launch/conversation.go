// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// conversation is the daemon's side of the control socket until the process is ready:
// see plan.Kind.
type conversation struct {
	*Process
	conn   *net.UnixConn
	req    *Request
	host   Host
	cgroup Cgroup
	born   bool
}

// hold brings the process from clone to ready.
func (c *conversation) hold(ctx context.Context) error {
	defer interrupt(ctx, c.conn)()
	if err := c.converse(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	c.control = c.conn
	return nil
}

// interrupt makes calls on conn fail once ctx is done, until the function it returns
// is called.
func interrupt(ctx context.Context, conn *net.UnixConn) func() bool {
	return context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails when closed, and then nobody waits
	})
}

func (c *conversation) converse(ctx context.Context) error {
	if c.req.Plan.Spawn != 0 {
		if err := c.respawn(); err != nil {
			return err
		}
	}
	if c.cgroup != nil && c.cgroup.NeedsAttach() {
		if err := c.cgroup.Attach(c.Pid); err != nil {
			return err
		}
	}
	if c.host.Born != nil {
		if err := c.host.Born(c.Process); err != nil {
			return err
		}
		c.born = true
	}
	if err := c.privileged(); err != nil {
		return err
	}
	if err := send(c.conn, plan.SendPlan, plan.Encode(c.req.Plan)); err != nil {
		return err
	}
	for {
		kind, payload, file, err := receive(c.conn)
		if err != nil {
			return err
		}
		if kind == plan.Ready {
			return nil
		}
		if err := c.answer(ctx, kind, payload, file); err != nil {
			return err
		}
	}
}

// respawn follows sardine-init into the process that it clones inside the user
// namespace it has joined, and reaps the first one.
func (c *conversation) respawn() error {
	if err := send(c.conn, plan.SendPlan, plan.Encode(c.req.Plan)); err != nil {
		return err
	}
	c.req.Plan.Spawn = 0
	kind, payload, file, err := receive(c.conn)
	if err != nil {
		return err
	}
	if kind != plan.Spawned || file == nil {
		return c.answer(context.Background(), kind, payload, file)
	}
	first := *c.Process
	c.Pidfd = file
	first.reap()
	first.Pidfd.Close()
	c.Pid, err = pidOf(file)
	return err
}

// pidOf reads the number of a process from its pidfd: proc_pid_fdinfo(5).
func pidOf(pidfd *os.File) (int, error) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(pidfd.Fd())))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, errors.New("pidfd without a Pid line")
}

// privileged does what a process in a user namespace may not do to itself.
func (c *conversation) privileged() error {
	score := c.req.Plan.Process.OOMScoreAdj
	if score == nil {
		return nil
	}
	path := "/proc/" + strconv.Itoa(c.Pid) + "/oom_score_adj"
	return os.WriteFile(path, strconv.AppendInt(nil, *score, 10), 0)
}

// answer acts on a message that comes before Ready.
func (c *conversation) answer(ctx context.Context, kind plan.Kind, payload []byte, file *os.File) error {
	switch {
	case kind == plan.Failed:
		return failure(payload)
	case kind == plan.Hooks && c.host.RunHooks != nil:
		if err := c.host.RunHooks(ctx, c.Pid); err != nil {
			return err
		}
		return send(c.conn, plan.HooksDone, nil)
	case kind == plan.Terminal && file != nil && c.host.Terminal != nil:
		return c.host.Terminal(file)
	}
	if file != nil {
		file.Close()
	}
	return fmt.Errorf("unexpected message %q from sardine-init", kind)
}

// takeListener fetches the seccomp listener: pidfd_getfd(2), Linux 5.6.
func (p *Process) takeListener(payload []byte) (*os.File, error) {
	number, n := binary.Uvarint(payload)
	if n <= 0 {
		return nil, plan.ErrMalformed
	}
	fd, err := unix.PidfdGetfd(int(p.Pidfd.Fd()), int(number), 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd_getfd: %w", err)
	}
	return os.NewFile(uintptr(fd), "seccomp"), nil
}

func send(conn *net.UnixConn, kind plan.Kind, payload []byte) error {
	h := plan.Header(kind, len(payload))
	_, err := conn.Write(append(h[:], payload...))
	return err
}

// receive reads one message and the descriptor that came with it, if any.
func receive(conn *net.UnixConn) (plan.Kind, []byte, *os.File, error) {
	var header [plan.HeaderSize]byte
	rights := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(header[:], rights)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err == nil {
		_, err = io.ReadFull(conn, header[n:])
	}
	if err != nil {
		return 0, nil, nil, closed(err)
	}
	file, err := descriptor(rights[:oobn])
	if err != nil {
		return 0, nil, nil, err
	}
	kind, size, err := plan.ParseHeader(header)
	payload := make([]byte, size)
	if err == nil {
		_, err = io.ReadFull(conn, payload)
	}
	if err != nil && file != nil {
		file.Close()
		file = nil
	}
	return kind, payload, file, err
}

// closed words the end of the socket, which means the end of the process.
func closed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("sardine-init ended unexpectedly: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func descriptor(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, plan.ErrMalformed
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, plan.ErrMalformed
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}
