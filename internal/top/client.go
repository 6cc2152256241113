// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	// maxAnswer is the size of an answer that lists more pods than a node can have.
	maxAnswer = 64 << 20
	// reconnect bounds the time after which a daemon that was restarted is found.
	reconnect = time.Second
)

// client is a connection to a CRI socket that outlives the server's restarts.
type client struct {
	cri.RuntimeServiceClient
	socket string
	conn   *grpc.ClientConn

	mu   sync.Mutex
	peer int   // process that serves the socket, 0 if it cannot be told
	err  error // why the last attempt to connect failed
}

func dial(socket string) (*client, error) {
	c := &client{socket: socket}
	conn, err := grpc.NewClient("passthrough:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(c.connect),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: reconnect / 10, Multiplier: 1.6, MaxDelay: reconnect},
			MinConnectTimeout: reconnect,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", socket, err)
	}
	c.conn, c.RuntimeServiceClient = conn, cri.NewRuntimeServiceClient(conn)
	return c, nil
}

func (c *client) close() error { return c.conn.Close() }

// connect notes who serves the socket.
func (c *client) connect(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
	peer := 0
	if err == nil {
		peer, _ = kernel.PeerPID(conn.(*net.UnixConn)) // 0 then
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer, c.err = peer, err
	return conn, err
}

// server is the process that serves the socket, 0 if it cannot be told.
func (c *client) server() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// explain says what an error of a call means and what to do.
func (c *client) explain(err error) error {
	c.mu.Lock()
	connecting := c.err
	c.mu.Unlock()
	switch code := status.Code(err); {
	case code == codes.Unavailable && errors.Is(connecting, fs.ErrPermission):
		return fmt.Errorf("not allowed to open %s; run it as root: %w", c.socket, connecting)
	case code == codes.Unavailable && connecting != nil:
		return fmt.Errorf("no daemon at %s (is it running, and is that its socket?): %w", c.socket, connecting)
	case code == codes.Unavailable:
		return fmt.Errorf("the daemon at %s has ended: %w", c.socket, err)
	case code == codes.Unimplemented:
		return fmt.Errorf("the daemon at %s does not serve CRI; is that disabled in its configuration? %w", c.socket, err)
	case code == codes.DeadlineExceeded:
		return fmt.Errorf("the daemon at %s does not answer: %w", c.socket, err)
	}
	return fmt.Errorf("ask the daemon at %s: %w", c.socket, err)
}
