// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/sardine-run/sardine/internal/testnode"
)

// forwardURL asks for a port forwarding session.
func (n *node) forwardURL(id string, ports ...int32) string {
	n.t.Helper()
	r, err := n.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: id, Port: ports})
	if err != nil {
		n.t.Fatal(err)
	}
	return r.Url
}

// echo sends back what it reads, and "bye" at its end.
func echo(conn *net.TCPConn) {
	_, _ = io.Copy(conn, conn)
	_, _ = io.WriteString(conn, "bye")
}

// converse sends text through a connection and expects the answer of echo.
func converse(f *forwarder, port int32, text string) error {
	data, errs, err := f.open(port)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.WriteString(data, text)
		data.Close()
	}()
	got, err := io.ReadAll(data)
	if err != nil || string(got) != text+"bye" {
		return fmt.Errorf("read %d bytes, %w; error stream: %s", len(got), err, errs)
	}
	return nil
}

func TestPortForward(t *testing.T) {
	for name, address := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0", "all": "[::]:0"} {
		t.Run(name, func(t *testing.T) {
			if name != "IPv4" {
				needIPv6(t)
			}
			n := newNode(t, Config{})
			var port int32
			n.pod("pod", func() { port = n.listen(address, echo) })
			before := n.descriptors()
			f := dialForward(t, n.forwardURL("pod"))
			for _, text := range []string{"hello", "", strings.Repeat("0123456789", 200000)} {
				if err := converse(f, port, text); err != nil {
					t.Error(err)
				}
			}
			f.conn.Close()
			n.sameDescriptors(before)
		})
	}
}

func TestPortForwardHostNetwork(t *testing.T) {
	n := newNode(t, Config{})
	port := n.listen("127.0.0.1:0", echo)
	n.pods["pod"] = nil
	f := dialForward(t, n.forwardURL("pod"))
	if err := converse(f, port, "hello"); err != nil {
		t.Error(err)
	}
}

// TestPortForwardNamespace: two pods have different programs on the same port, and the
// host a third; the thread that entered a pod is not used for anything else.
func TestPortForwardNamespace(t *testing.T) {
	n := newNode(t, Config{})
	say := func(word string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { _, _ = io.WriteString(c, word) }
	}
	port := n.listen("127.0.0.1:0", say("host"))
	for _, id := range []string{"a", "b"} {
		n.pod(id, func() { n.listen(fmt.Sprintf("127.0.0.1:%d", port), say(id)) })
	}
	n.pods["host"] = nil
	for range 10 {
		for _, id := range []string{"a", "b", "host"} {
			data, errs, err := dialForward(t, n.forwardURL(id)).open(port)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(data); string(got) != id {
				t.Errorf("pod %s says %q; %s", id, got, errs)
			}
		}
	}
}

// TestPortForwardParallel: connections of one session do not wait for each other.
func TestPortForwardParallel(t *testing.T) {
	n := newNode(t, Config{})
	var port int32
	n.pod("pod", func() { port = n.listen("127.0.0.1:0", echo) })
	before := n.descriptors()
	f := dialForward(t, n.forwardURL("pod"))
	idle, _, err := f.open(port) // says nothing all the time
	if err != nil {
		t.Fatal(err)
	}
	const connections = 50
	var streams []httpstream.Stream
	for range connections {
		data, _, err := f.open(port)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, data)
	}
	ended := make(chan error)
	for i, data := range streams {
		go func() {
			text := bytes.Repeat([]byte{byte(i)}, 100000)
			go func() { _, _ = data.Write(text); data.Close() }()
			got, err := io.ReadAll(data)
			if err == nil && !bytes.Equal(got, append(text, "bye"...)) {
				err = fmt.Errorf("connection %d: %d bytes", i, len(got))
			}
			ended <- err
		}()
	}
	for range connections {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	idle.Reset()
	f.conn.Close()
	n.sameDescriptors(before)
}

// TestPortForwardHalfClose: the end of one direction leaves the other open, however long.
func TestPortForwardHalfClose(t *testing.T) {
	n := newNode(t, Config{})
	heard := make(chan string, 1)
	var patient, talker int32
	n.pod("pod", func() {
		patient = n.listen("127.0.0.1:0", func(c *net.TCPConn) {
			text, _ := io.ReadAll(c)
			time.Sleep(1500 * time.Millisecond) // more than other runtimes wait
			_, _ = fmt.Fprintf(c, "%d bytes", len(text))
		})
		talker = n.listen("127.0.0.1:0", func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "hello")
			_ = c.CloseWrite()
			text, _ := io.ReadAll(c)
			heard <- string(text)
		})
	})
	f := dialForward(t, n.forwardURL("pod"))
	data, _, err := f.open(patient)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(data, "request")
	data.Close()
	if got, _ := io.ReadAll(data); string(got) != "7 bytes" {
		t.Errorf("read %q", got)
	}
	if data, _, err = f.open(talker); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(data); string(got) != "hello" {
		t.Errorf("read %q", got)
	}
	time.Sleep(100 * time.Millisecond)
	_, _ = io.WriteString(data, "answer")
	data.Close()
	if got := <-heard; got != "answer" {
		t.Errorf("the pod read %q", got)
	}
}

func TestPortForwardRefused(t *testing.T) {
	n := newNode(t, Config{})
	var port int32
	n.pod("pod", func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		port = int32(l.Addr().(*net.TCPAddr).Port)
		l.Close()
	})
	before := n.descriptors()
	f := dialForward(t, n.forwardURL("pod"))
	data, errs, err := f.open(port)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(data); len(got) != 0 {
		t.Errorf("read %q", got)
	}
	if text := errs.atEnd(t); !strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "[::1]") || !strings.Contains(text, "refused") {
		t.Errorf("error stream: %q", text)
	}
	f.conn.Close()
	n.sameDescriptors(before)
}

// TestPortForwardRefusedAtOnce: a stream is accepted before it fails. A write waits for that.
func TestPortForwardRefusedAtOnce(t *testing.T) {
	n := newNode(t, Config{})
	var stream acceptedStream
	if err := (runtime{n.Server}).PortForward(t.Context(), "nosuch", 80, &stream); err == nil || !stream.written {
		t.Errorf("%v, accepted: %t", err, stream.written)
	}
}

// acceptedStream is one of SPDY that is written to when it was accepted.
type acceptedStream struct {
	httpstream.Stream
	written bool
}

func (s *acceptedStream) Write(p []byte) (int, error) {
	s.written = true
	return len(p), nil
}

// TestPortForwardReset: a connection that the pod resets ends without ending others.
func TestPortForwardReset(t *testing.T) {
	n := newNode(t, Config{})
	var bad, good int32
	n.pod("pod", func() {
		bad = n.listen("127.0.0.1:0", func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
		})
		good = n.listen("127.0.0.1:0", echo)
	})
	f := dialForward(t, n.forwardURL("pod"))
	for range 20 {
		data, errs, err := f.open(bad)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = data.Write(make([]byte, 100000))
		if got, _ := io.ReadAll(data); len(got) != 0 {
			t.Errorf("read %d bytes", len(got))
		}
		if text := errs.atEnd(t); text != "" {
			t.Errorf("error stream: %q", text)
		}
		if err := converse(f, good, "hello"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPortForwardClientGone: a connection to a program that says nothing and does not look, ends with
// the client.
func TestPortForwardClientGone(t *testing.T) {
	n := newNode(t, Config{})
	stop := make(chan struct{})
	defer close(stop)
	var port int32
	n.pod("pod", func() { port = n.listen("127.0.0.1:0", func(*net.TCPConn) { <-stop }) })
	f := dialForward(t, n.forwardURL("pod"))
	for range 3 {
		if _, _, err := f.open(port); err != nil {
			t.Fatal(err)
		}
	}
	f.conn.Close()
	n.noSessions()
	ws := dialWS(t, n.forwardURL("pod", port), "v4.channel.k8s.io")
	time.Sleep(50 * time.Millisecond)
	ws.Close()
	n.noSessions()
}

// noSessions waits until no connection is forwarded.
func (n *node) noSessions() {
	n.t.Helper()
	n.eventually("no session is left", func() bool {
		for _, g := range sessionGoroutines() {
			if strings.Contains(g, "PortForward") {
				return false
			}
		}
		return true
	})
}

func TestPortForwardWebSocket(t *testing.T) {
	n := newNode(t, Config{})
	var ports [2]int32
	n.pod("pod", func() {
		for i := range ports {
			ports[i] = n.listen("127.0.0.1:0", echo)
		}
	})
	before := n.descriptors()
	ws := dialWS(t, n.forwardURL("pod", ports[:]...), "v4.channel.k8s.io")
	channels := [4]*received{newReceived(), newReceived(), newReceived(), newReceived()}
	demultiplex(ws, channels[:]...)
	for i, port := range ports {
		number := string(binary.LittleEndian.AppendUint16(nil, uint16(port)))
		word := fmt.Sprintf("hello %d", i)
		if err := websocket.Message.Send(ws, append([]byte{byte(2 * i)}, word...)); err != nil {
			t.Fatal(err)
		}
		channels[2*i].await(t, number+word)
		channels[2*i+1].await(t, number)
	}
	ws.Close()
	n.sameDescriptors(before)
}

// TestPortForwardServerCloses: sessions end with the Server, at once: they have nothing to tell.
func TestPortForwardServerCloses(t *testing.T) {
	n := newNode(t, Config{})
	var port int32
	n.pod("pod", func() { port = n.listen("127.0.0.1:0", echo) })
	f := dialForward(t, n.forwardURL("pod"))
	data, _, err := f.open(port)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(data, "hello")
	if _, err := io.ReadFull(data, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	n.farewell = 2 * testnode.Patience
	began := time.Now()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > testnode.Patience {
		t.Errorf("it took %v", took)
	}
	if got, _ := io.ReadAll(data); len(got) != 0 && string(got) != "bye" { // the port may have seen the end, and said that, in time
		t.Errorf("read %q", got)
	}
	n.noGoroutines()
}
