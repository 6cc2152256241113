// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/netif"
)

// transfer says how long 100 kB take over TCP, until the last byte is read.
func transfer(t *testing.T, from, to *netif.Namespace, address string) (took time.Duration) {
	t.Helper()
	var listener net.Listener
	var client net.Conn
	listen := func() (err error) { listener, err = net.Listen("tcp", address); return err }
	if err := to.Do(listen); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dial := func() (err error) {
		client, err = net.DialTimeout("tcp", listener.Addr().String(), time.Minute)
		return err
	}
	if err := from.Do(dial); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	start := time.Now()
	for _, c := range []net.Conn{client, server} {
		if err := c.SetDeadline(start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		client.Write(make([]byte, 100_000))
		client.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, server); err != nil || n != 100_000 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	return time.Since(start)
}
