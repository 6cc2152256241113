// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"files without TLS": {CertFile: "/c", KeyFile: "/k"},
		"key without TLS":   {KeyFile: "/k"},
		"only a key":        {TLS: true, KeyFile: "/k"},
		"only a file":       {TLS: true, CertFile: "/c"},
	} {
		cfg.Address = "127.0.0.1"
		if _, err := New(cfg, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{Address: "127.0.0.1", TLS: true, CertFile: "/no/such", KeyFile: "/no/such"}, nil); err == nil {
		t.Error("missing files: no error")
	}
	if _, err := New(Config{Address: "127.0.0.1", Port: "99999"}, nil); err == nil {
		t.Error("a port that is none: no error")
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if _, err := New(Config{Address: "127.0.0.1", Port: port}, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

// TestRefusals: what cannot be gets no address.
func TestRefusals(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	n.pods["pod"] = nil
	exec := func(r *runtimeapi.ExecRequest) error { _, err := n.GetExec(r); return err }
	attach := func(r *runtimeapi.AttachRequest) error { _, err := n.GetAttach(r); return err }
	forward := func(r *runtimeapi.PortForwardRequest) error { _, err := n.GetPortForward(r); return err }
	cmd := []string{"true"}
	for name, test := range map[string]struct {
		err  error
		code codes.Code
	}{
		"exec nothing":          {exec(&runtimeapi.ExecRequest{}), codes.InvalidArgument},
		"exec no container":     {exec(&runtimeapi.ExecRequest{Cmd: cmd, Stdout: true}), codes.InvalidArgument},
		"exec no command":       {exec(&runtimeapi.ExecRequest{ContainerId: "one", Stdout: true}), codes.InvalidArgument},
		"exec no stream":        {exec(&runtimeapi.ExecRequest{ContainerId: "one", Cmd: cmd}), codes.InvalidArgument},
		"exec tty and stderr":   {exec(&runtimeapi.ExecRequest{ContainerId: "one", Cmd: cmd, Stdout: true, Stderr: true, Tty: true}), codes.InvalidArgument},
		"exec unknown":          {exec(&runtimeapi.ExecRequest{ContainerId: "two", Cmd: cmd, Stdout: true}), codes.NotFound},
		"exec":                  {exec(&runtimeapi.ExecRequest{ContainerId: "one", Cmd: cmd, Stdout: true}), codes.OK},
		"attach nothing":        {attach(&runtimeapi.AttachRequest{}), codes.InvalidArgument},
		"attach no stream":      {attach(&runtimeapi.AttachRequest{ContainerId: "one"}), codes.InvalidArgument},
		"attach tty and stderr": {attach(&runtimeapi.AttachRequest{ContainerId: "one", Stderr: true, Tty: true}), codes.InvalidArgument},
		"attach unknown":        {attach(&runtimeapi.AttachRequest{ContainerId: "../one", Stdout: true}), codes.NotFound},
		"attach":                {attach(&runtimeapi.AttachRequest{ContainerId: "one", Stdout: true}), codes.OK},
		"forward nothing":       {forward(&runtimeapi.PortForwardRequest{}), codes.InvalidArgument},
		"forward unknown":       {forward(&runtimeapi.PortForwardRequest{PodSandboxId: "two"}), codes.NotFound},
		"forward port 0":        {forward(&runtimeapi.PortForwardRequest{PodSandboxId: "pod", Port: []int32{80, 0}}), codes.InvalidArgument},
		"forward port 65536":    {forward(&runtimeapi.PortForwardRequest{PodSandboxId: "pod", Port: []int32{65536}}), codes.InvalidArgument},
		"forward":               {forward(&runtimeapi.PortForwardRequest{PodSandboxId: "pod", Port: []int32{65535}}), codes.OK},
	} {
		if code := status.Code(errgrpc.ToGRPC(test.err)); code != test.code {
			t.Errorf("%s: %v, %v; want %v", name, code, test.err, test.code)
		}
	}
}

// TestAddressOnce: an address is good for one session.
func TestAddressOnce(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	asked := streamsAsked{stdout: true}
	url := n.execURL("one", asked, "echo", "hello")
	c := dialSPDY(t, url, asked)
	if code, err := c.exit(t); code != 0 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	for _, u := range []string{url, url + "x", strings.Replace(url, "exec", "attach", 1), strings.Replace(url, "exec", "", 1)} {
		response, err := http.Get(u) //nolint:gosec,noctx // the test's own server
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", u, response.Status)
		}
	}
}

// TestContainerGone: a container that ends between the address and the session.
func TestContainerGone(t *testing.T) {
	n := newNode(t, Config{})
	n.idle("one")
	asked := streamsAsked{stdout: true}
	url := n.execURL("one", asked, "echo", "hello")
	n.mu.Lock()
	delete(n.containers, "one")
	n.mu.Unlock()
	c := dialSPDY(t, url, asked)
	if code, err := c.exit(t); code != -1 || err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("%d, %v", code, err)
	}
}

// needIPv6 skips a test on a machine without it.
func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	l.Close()
}

func TestIPv6(t *testing.T) {
	needIPv6(t)
	n := newNode(t, Config{Address: "::1"})
	n.idle("one")
	asked := streamsAsked{stdout: true}
	url := n.execURL("one", asked, "echo", "hello")
	if !strings.HasPrefix(url, "http://[::1]:") {
		t.Error(url)
	}
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		c := dial(t, n.execURL("one", asked, "echo", "hello"), asked)
		if code, err := c.exit(t); code != 0 || err != nil || c.stdout.atEnd(t) != "hello\n" {
			t.Errorf("%d, %v, %q", code, err, c.stdout)
		}
	})
}

// TestTLS: all kinds of sessions, and the end of one, over a certificate that the Server made.
func TestTLS(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{TLS: true})
		box := n.idle("one")
		before := n.descriptors()
		asked := streamsAsked{stdin: true, stdout: true, tty: true}
		url := n.execURL("one", asked, "sh", "-c", "echo ready; sleep 101")
		if !strings.HasPrefix(url, "https://127.0.0.1:") {
			t.Error(url)
		}
		c := dial(t, url, asked)
		c.stdout.await(t, "ready")
		c.hangup()
		n.onlyIdle(box)
		n.sameDescriptors(before)
	})
	n := newNode(t, Config{TLS: true})
	stop := make(chan struct{})
	defer close(stop)
	var port, silent int32
	n.pod("pod", func() {
		port = n.listen("127.0.0.1:0", echo)
		silent = n.listen("127.0.0.1:0", func(*net.TCPConn) { <-stop })
	})
	f := dialForward(t, n.forwardURL("pod"))
	if err := converse(f, port, "hello"); err != nil {
		t.Error(err)
	}
	if _, _, err := f.open(silent); err != nil {
		t.Fatal(err)
	}
	f.conn.Close()
	n.noSessions()
}

// TestSelfSigned: who trusts the certificate need not close his eyes.
func TestSelfSigned(t *testing.T) {
	c, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	host, _ := os.Hostname()
	for _, name := range []string{"127.0.0.1", host} {
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if certificate.NotAfter.Before(time.Now().Add(365 * 24 * time.Hour)) {
		t.Errorf("it ends on %v", certificate.NotAfter)
	}
}

func TestCertificateFiles(t *testing.T) {
	made, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := Config{TLS: true, CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	for name, block := range map[string]*pem.Block{
		cfg.CertFile: {Type: "CERTIFICATE", Bytes: made.Certificate[0]}, cfg.KeyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := newNode(t, cfg)
	conn, err := tls.Dial("tcp", n.Addr().String(), trustAll)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().PeerCertificates[0].Raw; string(got) != string(made.Certificate[0]) {
		t.Error("it serves another certificate")
	}
}

// TestIdle: a session on which nothing happens ends.
func TestIdle(t *testing.T) {
	eachProtocol(t, func(t *testing.T, dial func(*testing.T, string, streamsAsked) *client) {
		n := newNode(t, Config{IdleTimeout: time.Second})
		n.idle("one")
		before := n.descriptors()
		c := n.attach(t, "one", streamsAsked{stdout: true}, dial)
		c.stdout.atEnd(t)
		c.hangup()
		n.sameDescriptors(before)
	})
}

// TestStrangers: connections that are no sessions end with the Server.
func TestStrangers(t *testing.T) {
	n := newNode(t, Config{})
	for _, text := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /exec/" + strings.Repeat("x", 10000), "\x00\x01\x02\r\n\r\n"} {
		conn, err := net.Dial("tcp", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(20 * time.Millisecond)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	n.noGoroutines()
}
