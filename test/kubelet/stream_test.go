// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// Channels of the remotecommand protocol, the first byte of each WebSocket
// message.
const (
	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
	channelError  = 3
	channelClose  = 255 // its message is the channel that is closed
)

// session is an exec or an attach.
type session struct {
	command []string
	stdin   io.Reader // nil for none
	tty     bool
	stderr  io.Writer // nil to have it in the error
}

// exitError is how a command ended that failed.
type exitError struct {
	code   int
	stderr string
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d: %s", e.code, e.stderr) }

func (s *session) query() url.Values {
	query := url.Values{"output": {"1"}, "command": s.command}
	if s.stdin != nil {
		query.Set("input", "1")
	}
	if s.tty {
		query.Set("tty", "1")
	} else {
		query.Set("error", "1")
	}
	return query
}

// path is where the kubelet takes sessions of a kind: exec or attach.
func (p *pod) path(kind, container string, query url.Values) string {
	return "/" + kind + "/default/" + p.fullName() + "/" + container + "?" + query.Encode()
}

// stream runs a session over a WebSocket and returns what came on stdout.
func (p *pod) stream(ctx context.Context, kind, container string, s session) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ws, err := p.dialWebSocket(ctx, p.path(kind, container, s.query()))
	if err != nil {
		return "", err
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { ws.Close() })()
	if s.stdin != nil {
		go sendStdin(ws, s.stdin)
	}
	var stdout, stderr, status bytes.Buffer
	outputs := map[byte]io.Writer{channelStdout: &stdout, channelStderr: &stderr, channelError: &status}
	if s.stderr != nil {
		outputs[channelStderr] = s.stderr
	}
	err = receive(ws, outputs)
	if ctx.Err() != nil {
		return stdout.String(), errors.Join(ctx.Err(), err)
	}
	return stdout.String(), errors.Join(err, parseStatus(status.Bytes(), stderr.String()))
}

func (p *pod) dialWebSocket(ctx context.Context, path string) (*websocket.Conn, error) {
	api := p.node.kubelet.api
	config, err := websocket.NewConfig(strings.Replace(api.base, "https:", "wss:", 1)+path, api.base)
	if err != nil {
		return nil, err
	}
	config.Protocol = []string{"v5.channel.k8s.io"}
	config.TlsConfig = api.tls()
	return config.DialContext(ctx)
}

// sendStdin sends what there is to read, then its end. It ends with the
// connection.
func sendStdin(ws *websocket.Conn, stdin io.Reader) {
	buf := make([]byte, 1+32<<10)
	for {
		n, err := stdin.Read(buf[1:])
		buf[0] = channelStdin
		if n > 0 && websocket.Message.Send(ws, buf[:1+n]) != nil {
			return
		}
		if err != nil {
			_ = websocket.Message.Send(ws, []byte{channelClose, channelStdin})
			return
		}
	}
}

// receive sorts messages until the other side closes the connection.
func receive(ws *websocket.Conn, outputs map[byte]io.Writer) error {
	for {
		var message []byte
		err := websocket.Message.Receive(ws, &message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(message) > 1 && outputs[message[0]] != nil {
			if _, err := outputs[message[0]].Write(message[1:]); err != nil {
				return err
			}
		}
	}
}

// parseStatus reads the metav1.Status that ends a session.
func parseStatus(data []byte, stderr string) error {
	var status struct {
		Status, Reason, Message string
		Details                 struct {
			Causes []struct{ Reason, Message string }
		}
	}
	if err := json.Unmarshal(data, &status); err != nil {
		return fmt.Errorf("status %q of the session: %w", data, err)
	}
	if status.Status == "Success" {
		return nil
	}
	for _, cause := range status.Details.Causes {
		if code, err := strconv.Atoi(cause.Message); err == nil && cause.Reason == "ExitCode" {
			return &exitError{code: code, stderr: stderr}
		}
	}
	return fmt.Errorf("%s: %s", status.Reason, status.Message)
}

// dialSPDY opens a connection of the older protocol.
func (p *pod) dialSPDY(ctx context.Context, path string, protocol string) (httpstream.Connection, error) {
	api := p.node.kubelet.api
	transport, err := spdy.NewRoundTripper(api.tls())
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, api.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	conn, err := transport.NewConnection(response)
	if err == nil {
		conn.SetIdleTimeout(patience)
		context.AfterFunc(ctx, func() { conn.Close() })
	}
	return conn, err
}

// createStreams opens streams of the given kinds, as the protocol wants them.
func createStreams(conn httpstream.Connection, extra http.Header, kinds ...string) (map[string]httpstream.Stream, error) {
	streams := map[string]httpstream.Stream{}
	for _, kind := range kinds {
		header := http.Header{"Streamtype": {kind}}
		for name, values := range extra {
			header[name] = values
		}
		stream, err := conn.CreateStream(header)
		if err != nil {
			return nil, fmt.Errorf("create the %s stream: %w", kind, err)
		}
		streams[kind] = stream
	}
	return streams, nil
}

// execSPDY runs a command over SPDY and returns what came on stdout.
func (p *pod) execSPDY(ctx context.Context, container string, s session) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := p.dialSPDY(ctx, p.path("exec", container, s.query()), "v4.channel.k8s.io")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	kinds := []string{"error", "stdout", "stderr"}
	if s.stdin != nil {
		kinds = append(kinds, "stdin")
	}
	streams, err := createStreams(conn, nil, kinds...)
	if err != nil {
		return "", err
	}
	if s.stdin != nil {
		go func() {
			_, _ = io.Copy(streams["stdin"], s.stdin)
			streams["stdin"].Close()
		}()
	}
	return readSession(streams)
}

func readSession(streams map[string]httpstream.Stream) (string, error) {
	stderr := make(chan []byte, 1)
	go func() {
		data, _ := io.ReadAll(streams["stderr"])
		stderr <- data
	}()
	stdout, errOut := io.ReadAll(streams["stdout"])
	status, errStatus := io.ReadAll(streams["error"])
	complaint := <-stderr
	if err := errors.Join(errOut, errStatus); err != nil {
		return string(stdout), err
	}
	if len(status) == 0 { // success has no words in this protocol
		return string(stdout), nil
	}
	return string(stdout), parseStatus(status, string(complaint))
}

// forward sends data to a port of the pod and returns all that comes back.
func (p *pod) forward(ctx context.Context, port int, data string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := p.dialSPDY(ctx, "/portForward/default/"+p.fullName(), "portforward.k8s.io")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	header := http.Header{"Port": {strconv.Itoa(port)}, "Requestid": {"1"}}
	streams, err := createStreams(conn, header, "error", "data")
	if err != nil {
		return "", err
	}
	streams["error"].Close() // it is for the other side to write
	_, errWrite := io.WriteString(streams["data"], data)
	errClose := streams["data"].Close()
	answer, errRead := io.ReadAll(streams["data"])
	complaint, errComplaint := io.ReadAll(streams["error"])
	err = errors.Join(errWrite, errClose, errRead, errComplaint)
	if err == nil && len(complaint) > 0 {
		err = errors.New(string(complaint))
	}
	return string(answer), err
}
