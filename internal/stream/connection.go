// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"net"
)

// connection is a client's. It knows its end, of which the library tells sessions
// nothing: its context is that of the requests on it. The library closes it when
// the client has gone and all that the client had sent is taken.
type connection struct {
	net.Conn
	server *Server
	ctx    context.Context
	cancel context.CancelFunc
}

// tracked is a listener whose connections the Server knows.
type tracked struct {
	net.Listener
	server *Server
}

func (l tracked) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, server: l.server}
	c.ctx, c.cancel = context.WithCancel(l.server.ctx)
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	if l.server.closed {
		c.cancel()
		conn.Close()
		return nil, net.ErrClosed
	}
	l.server.connections[c] = struct{}{}
	return c, nil
}

func (c *connection) Close() error {
	c.cancel()
	c.server.mu.Lock()
	delete(c.server.connections, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// peer is a client's address by which its connection is found.
type peer struct {
	net.Addr
	connection *connection
}

func (c *connection) RemoteAddr() net.Addr { return peer{c.Conn.RemoteAddr(), c} }

// connectionContext makes the context of requests end with their connection.
func connectionContext(ctx context.Context, conn net.Conn) context.Context {
	if p, ok := conn.RemoteAddr().(peer); ok {
		return p.connection.ctx
	}
	return ctx
}

// contextOf returns a context that ends with the connection of stream, which the library gives
// to a port forwarding session without one. A WebSocket does not tell its connection, and
// need not: its streams end only with it.
func (s *Server) contextOf(stream any) context.Context {
	if a, ok := stream.(interface{ RemoteAddr() net.Addr }); ok {
		if p, ok := a.RemoteAddr().(peer); ok {
			return p.connection.ctx
		}
	}
	return s.ctx
}
