// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/sardine-run/sardine/internal/nsdial"
)

// connectTime bounds the connection to a port that does not answer.
const connectTime = 10 * time.Second

// PortForward connects stream with a port of the pod's loopback interface, until both
// directions have ended or the client has gone.
func (r runtime) PortForward(_ context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	err := r.portForward(id, port, stream)
	if spdy, ok := stream.(httpstream.Stream); ok && err != nil {
		// The library resets the stream now, which it may not yet have accepted: the client would be told of that instead of the error.
		// A write waits for the acceptance. Nobody waits for this goroutine, as the library lets it wait for ever when the client goes first.
		_, _ = spdy.Write(nil)
	}
	return err
}

func (r runtime) portForward(id string, port int32, stream io.ReadWriteCloser) error {
	if !r.enter(&r.working) {
		return fmt.Errorf("the server is shutting down: %w", errdefs.ErrUnavailable)
	}
	defer r.working.Done()
	if err := checkPort(port); err != nil {
		return err
	}
	ctx := r.contextOf(stream)
	conn, err := r.dial(ctx, id, port)
	if err != nil {
		return err
	}
	if err := r.forward(ctx, conn, stream); err != nil {
		// The port was reached: that the program there resets a connection is between it
		// and the client, who would take an error for the end of all forwarding.
		log.L.WithError(err).WithField("sandbox", id).Debugf("forward to port %d", port)
	}
	return nil
}

func checkPort(port int32) error {
	if port < 1 || port > math.MaxUint16 {
		return fmt.Errorf("port %d: is not a TCP port: %w", port, errdefs.ErrInvalidArgument)
	}
	return nil
}

// dial connects to the port inside the pod's network namespace.
func (s *Server) dial(ctx context.Context, id string, port int32) (*net.TCPConn, error) {
	ns, err := s.containers.NetNS(id)
	if err != nil {
		return nil, err
	}
	if ns != nil {
		defer ns.Close()
	}
	conn, err := nsdial.TCP(ctx, ns, net.Dialer{Timeout: connectTime}, nsdial.WithPort(nsdial.Loopback(), uint16(port))...)
	if err != nil {
		return nil, fmt.Errorf("pod sandbox %s: %w: %w", id, err, errdefs.ErrUnavailable)
	}
	return conn, nil
}

// forward copies both ways and closes conn. The end of one direction is passed on and does
// not end the other, where the protocol can tell them apart: SPDY can.
func (s *Server) forward(ctx context.Context, conn *net.TCPConn, stream io.ReadWriteCloser) error {
	defer conn.Close()
	duplex, ok := stream.(httpstream.Stream)
	if ok {
		defer func() { _ = duplex.Reset() }() // what still comes unread would hold up the other streams
	}
	sent := make(chan error, 1) // to the pod
	if !s.spawn(func() {
		_, err := io.Copy(conn, stream)
		sent <- errors.Join(err, conn.CloseWrite())
	}) {
		return context.Canceled
	}
	received := make(chan error, 1)
	if !s.spawn(func() {
		_, err := io.Copy(stream, conn)
		if ok {
			err = errors.Join(err, duplex.Close())
		}
		received <- err
	}) {
		return context.Canceled
	}
	for range 2 {
		var err error
		select {
		case err = <-sent:
		case err = <-received:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil || !ok {
			return err
		}
	}
	return nil
}
