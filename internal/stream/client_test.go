// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/sardine-run/sardine/internal/testnode"
)

// client is the other end of an exec or attach session, by one of the two protocols.
type client struct {
	stdin  io.WriteCloser // nil for none; on a WebSocket it cannot be closed by itself
	stdout *received
	stderr *received
	resize func(width, height uint16) error
	hangup func() // closes the connection

	status *received
}

// outcome is what comes on the error stream: metav1.Status.
type outcome struct {
	Status, Message, Reason string
	Details                 struct {
		Causes []struct{ Reason, Message string }
	}
}

// received collects what comes on a stream.
type received struct {
	mu   sync.Mutex
	text bytes.Buffer
	end  chan struct{} // closed at its end
}

func newReceived() *received { return &received{end: make(chan struct{})} }

func (r *received) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(text)
}

func (r *received) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// collect reads from to its end.
func collect(from io.Reader) *received {
	r := newReceived()
	go func() {
		defer close(r.end)
		_, _ = io.Copy(r, from)
	}()
	return r
}

// await waits until text was received.
func (r *received) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if strings.Contains(r.String(), text) {
			return
		}
	}
	t.Fatalf("received %q, not %q", r.String(), text)
}

// atEnd waits for the end and returns what was received.
func (r *received) atEnd(t *testing.T) string {
	t.Helper()
	select {
	case <-r.end:
	case <-time.After(testnode.Patience):
		t.Fatalf("no end after %q", r.String())
	}
	return r.String()
}

// exit waits for the end of the session and returns the exit code, -1 with an error.
func (c *client) exit(t *testing.T) (int, error) {
	t.Helper()
	var s outcome
	if err := json.Unmarshal([]byte(c.status.atEnd(t)), &s); err != nil {
		return -1, err
	}
	if s.Status == "Success" {
		return 0, nil
	}
	for _, cause := range s.Details.Causes {
		if cause.Reason == remotecommand.ExitCodeCauseType {
			return strconv.Atoi(cause.Message)
		}
	}
	return -1, errors.New(s.Message)
}

// streamsAsked are those of an ExecRequest or AttachRequest.
type streamsAsked struct{ stdin, stdout, stderr, tty bool }

// protocols dial with each of the two. The session is the same.
var protocols = map[string]func(t *testing.T, url string, asked streamsAsked) *client{"SPDY": dialSPDY, "WebSocket": dialWebSocket}

// trustAll trusts every server.
var trustAll = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the tests' servers sign for themselves

// upgrade opens a SPDY connection.
func upgrade(t *testing.T, url string, protocols ...string) httpstream.Connection {
	t.Helper()
	transport, err := spdy.NewRoundTripper(trustAll)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range protocols {
		request.Header.Add(httpstream.HeaderProtocolVersion, p)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	conn, err := transport.NewConnection(response)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func dialSPDY(t *testing.T, url string, asked streamsAsked) *client {
	t.Helper()
	conn := upgrade(t, url, remotecommand.StreamProtocolV4Name)
	open := func(kind string) httpstream.Stream {
		header := http.Header{}
		header.Set(remotecommand.StreamType, kind)
		s, err := conn.CreateStream(header)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c := &client{hangup: func() { conn.Close() }, status: collect(open(remotecommand.StreamTypeError))}
	if asked.stdin {
		c.stdin = open(remotecommand.StreamTypeStdin)
	}
	if asked.stdout {
		c.stdout = collect(open(remotecommand.StreamTypeStdout))
	}
	if asked.stderr {
		c.stderr = collect(open(remotecommand.StreamTypeStderr))
	}
	if asked.tty {
		resize := json.NewEncoder(open(remotecommand.StreamTypeResize))
		c.resize = func(width, height uint16) error {
			return resize.Encode(remotecommand.TerminalSize{Width: width, Height: height})
		}
	}
	return c
}

// dialWS opens a WebSocket.
func dialWS(t *testing.T, url, protocol string) *websocket.Conn {
	t.Helper()
	config, err := websocket.NewConfig("ws"+strings.TrimPrefix(url, "http"), "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	config.Protocol, config.TlsConfig = []string{protocol}, trustAll
	ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
	defer cancel()
	ws, err := config.DialContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

// wsChannel writes to one channel of a WebSocket.
type wsChannel struct {
	ws     *websocket.Conn
	number byte
}

func (c wsChannel) Write(text []byte) (int, error) {
	return len(text), websocket.Message.Send(c.ws, append([]byte{c.number}, text...))
}

// Close ends the connection: the protocol has no other end of a stream.
func (c wsChannel) Close() error { return c.ws.Close() }

// demultiplex collects what comes on the channels.
func demultiplex(ws *websocket.Conn, channels ...*received) {
	go func() {
		defer func() {
			for _, c := range channels {
				close(c.end)
			}
		}()
		for {
			var message []byte
			if err := websocket.Message.Receive(ws, &message); err != nil {
				return
			}
			if len(message) > 0 && int(message[0]) < len(channels) {
				_, _ = channels[message[0]].Write(message[1:])
			}
		}
	}()
}

func dialWebSocket(t *testing.T, url string, asked streamsAsked) *client {
	t.Helper()
	ws := dialWS(t, url, "v4.channel.k8s.io")
	c := &client{hangup: func() { ws.Close() }, stdout: newReceived(), stderr: newReceived(), status: newReceived()}
	if asked.stdin {
		c.stdin = wsChannel{ws, remotecommand.StreamStdIn}
	}
	resize := json.NewEncoder(wsChannel{ws, remotecommand.StreamResize})
	c.resize = func(width, height uint16) error {
		return resize.Encode(remotecommand.TerminalSize{Width: width, Height: height})
	}
	demultiplex(ws, newReceived(), c.stdout, c.stderr, c.status)
	return c
}

// forwarder opens connections to a port of a pod.
type forwarder struct {
	conn httpstream.Connection
	next int
}

func dialForward(t *testing.T, url string) *forwarder {
	t.Helper()
	return &forwarder{conn: upgrade(t, url, portforward.ProtocolV1Name)}
}

// open returns the data stream of a new connection and what comes on the error stream.
func (f *forwarder) open(port int32) (httpstream.Stream, *received, error) {
	f.next++
	header := http.Header{}
	header.Set(portforward.PortHeader, strconv.Itoa(int(port)))
	header.Set(portforward.PortForwardRequestIDHeader, strconv.Itoa(f.next))
	header.Set(portforward.StreamType, portforward.StreamTypeError)
	errs, err := f.conn.CreateStream(header)
	if err != nil {
		return nil, nil, fmt.Errorf("error stream: %w", err)
	}
	header.Set(portforward.StreamType, portforward.StreamTypeData)
	data, err := f.conn.CreateStream(header)
	if err != nil {
		return nil, nil, fmt.Errorf("data stream: %w", err)
	}
	return data, collect(errs), nil
}
