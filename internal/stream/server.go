// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	apinet "k8s.io/apimachinery/pkg/util/net"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/sardine-run/sardine/internal/probe"
)

// Config has the values of containerd's keys of the same meaning.
type Config struct {
	// Address to listen at, stream_server_address: an IP address or host name; "" is that
	// of the interface with the default route.
	Address string
	// Port, stream_server_port: "0" or "" for any.
	Port string
	// IdleTimeout, stream_idle_timeout, ends a connection on which nothing was sent for
	// so long; 0 never.
	IdleTimeout time.Duration
	// TLS, enable_tls_streaming. Without files, x509_key_pair_streaming, the server makes
	// itself a certificate.
	TLS               bool
	CertFile, KeyFile string
	// DrainTimeout, drain_exec_sync_io_timeout, is how long after the end of an executed
	// process others may hold its output open; 0 is no limit.
	DrainTimeout time.Duration
	// Probes answers the commands that it takes, in the place of a program in the container; nil takes none.
	Probes *probe.Prober
}

// Server serves sessions: ExecSync at once, the others to who comes with an address from
// GetExec, GetAttach or GetPortForward.
type Server struct {
	containers Containers
	drainTime  time.Duration
	farewell   time.Duration
	probes     *probe.Prober

	library  streaming.Server
	http     *http.Server
	listener net.Listener

	ctx    context.Context // of all sessions, until Close
	cancel context.CancelFunc

	mu          sync.Mutex
	closed      bool
	connections map[*connection]struct{}
	telling     sync.WaitGroup // goroutines that tell a client at the end how its session was; mu is held to add one
	working     sync.WaitGroup // the Server's other goroutines, likewise
}

// New listens, so that addresses can be given out. Start serves them. ErrInvalidArgument for
// a Config that makes no sense.
func New(cfg Config, containers Containers) (*Server, error) {
	s := &Server{containers: containers, drainTime: cfg.DrainTimeout, farewell: farewell, probes: cfg.Probes, connections: map[*connection]struct{}{}}
	if err := s.listen(cfg); err != nil {
		return nil, fmt.Errorf("streaming server: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

func (s *Server) listen(cfg Config) error {
	tlsConfig, err := cfg.tls()
	if err != nil {
		return err
	}
	address, err := cfg.address()
	if err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", address); err != nil {
		return err
	}
	base := &url.URL{Scheme: "http", Host: s.listener.Addr().String()}
	if tlsConfig != nil {
		base.Scheme = "https"
	}
	libraryConfig := streaming.DefaultConfig
	libraryConfig.BaseURL, libraryConfig.StreamIdleTimeout = base, cfg.IdleTimeout
	if s.library, err = streaming.NewServer(libraryConfig, runtime{s}); err != nil {
		s.listener.Close()
		return err
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: remotecommand.DefaultStreamCreationTimeout,
		ConnContext:       connectionContext,
		ErrorLog:          stdlog.New(debugLog{}, "", 0),
	}
	return nil
}

func (cfg Config) address() (string, error) {
	port := cfg.Port
	if port == "" {
		port = "0"
	}
	if cfg.Address != "" {
		return net.JoinHostPort(cfg.Address, port), nil
	}
	ip, err := apinet.ResolveBindAddress(nil)
	if err != nil {
		return "", fmt.Errorf("find an address to listen at: %w", err)
	}
	return net.JoinHostPort(ip.String(), port), nil
}

// Start begins to serve, in the background.
func (s *Server) Start() {
	s.spawn(func() {
		err := s.serveHTTP(tracked{s.listener, s})
		if !errors.Is(err, http.ErrServerClosed) && s.ctx.Err() == nil {
			log.L.WithError(err).Error("the streaming server has ended")
		}
	})
}

func (s *Server) serveHTTP(l net.Listener) error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(l, "", "")
	}
	return s.http.Serve(l)
}

// Addr is where the Server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends all sessions, as if their clients had gone, but for telling them so, and returns when nothing that the
// Server has begun runs any more. Processes are left alone. It does not end calls of ExecSync: their
// contexts do.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	connections := make([]*connection, 0, len(s.connections))
	for c := range s.connections {
		connections = append(connections, c)
	}
	s.mu.Unlock()
	s.cancel()
	err := errors.Join(s.http.Close(), ignoreClosed(s.listener.Close()))
	told := make(chan struct{})
	go func() { s.telling.Wait(); close(told) }()
	select {
	case <-told:
	case <-time.After(s.farewell):
	}
	for _, c := range connections {
		c.Close()
	}
	<-told
	s.working.Wait()
	return err
}

// farewell is how long sessions have to tell their clients that they are over, and how. Then their connections are
// closed. Only clients that take nothing need it, and those of a busy node.
const farewell = 3 * time.Second

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// serve is the HTTP handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	group := &s.telling
	if strings.HasPrefix(r.URL.Path, "/portforward/") { // that lasts as long as its connection, and has nothing to tell
		group = &s.working
	}
	if !s.enter(group) {
		http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
		return
	}
	defer group.Done()
	s.library.ServeHTTP(w, r)
}

// enter counts the caller in group, goroutines that Close waits for, unless it is too late:
// those need not begin.
func (s *Server) enter(group *sync.WaitGroup) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	group.Add(1)
	return true
}

// spawn runs f in a goroutine that Close waits for. When the Server is closed it does not
// run; false then.
func (s *Server) spawn(f func()) bool {
	if !s.enter(&s.working) {
		return false
	}
	go func() {
		defer s.working.Done()
		f()
	}()
	return true
}

// GetExec returns the address of an exec session. ErrInvalidArgument for streams that do not go
// together, and the errors of Containers.Running. Like GetAttach and GetPortForward it refuses with
// ResourceExhausted when 1000 addresses of the last minute were not used.
func (s *Server) GetExec(req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if len(req.GetCmd()) == 0 {
		return nil, fmt.Errorf("exec: there is no command: %w", errdefs.ErrInvalidArgument)
	}
	if err := s.checkRunning(req.GetContainerId()); err != nil {
		return nil, err
	}
	return s.library.GetExec(&runtimeapi.ExecRequest{
		ContainerId: mark(req.ContainerId, req.Stdin), Cmd: req.Cmd,
		Tty: req.Tty, Stdin: req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr,
	})
}

// GetAttach returns the address of a session with the container's first process.
func (s *Server) GetAttach(req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if err := s.checkRunning(req.GetContainerId()); err != nil {
		return nil, err
	}
	return s.library.GetAttach(&runtimeapi.AttachRequest{
		ContainerId: mark(req.ContainerId, req.Stdin),
		Tty:         req.Tty, Stdin: req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr,
	})
}

func (s *Server) checkRunning(id string) error {
	if id == "" {
		return fmt.Errorf("container_id: is missing: %w", errdefs.ErrInvalidArgument)
	}
	_, err := s.containers.Running(id)
	return err
}

// GetPortForward returns the address of a session with ports of the pod.
func (s *Server) GetPortForward(req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	id := req.GetPodSandboxId()
	if id == "" {
		return nil, fmt.Errorf("pod_sandbox_id: is missing: %w", errdefs.ErrInvalidArgument)
	}
	for _, port := range req.GetPort() {
		if err := checkPort(port); err != nil {
			return nil, err
		}
	}
	ns, err := s.containers.NetNS(id)
	if err != nil {
		return nil, err
	}
	if ns != nil {
		ns.Close()
	}
	return s.library.GetPortForward(req)
}

// runtime is what the library calls to hold a session.
type runtime struct{ *Server }

var _ streaming.Runtime = runtime{}

// mark puts what the library does not hand on into the id that it does: whether there is
// a standard input. On a WebSocket it makes one up that has come to its end.
func mark(id string, stdin bool) string {
	if stdin {
		return "<" + id
	}
	return "-" + id
}

// unmark returns the id, and in if it is not made up.
func unmark(marked string, in io.Reader) (string, io.Reader) {
	if marked[0] == '<' {
		return marked[1:], in
	}
	return marked[1:], nil
}

// follow sets the size of a terminal as the client's changes. Sizes are taken also when there is no
// terminal: the library waits with everything else on a WebSocket until one is taken.
func (s *Server) follow(resize <-chan remotecommand.TerminalSize, set func(width, height uint16) error) {
	if resize == nil {
		return
	}
	s.spawn(func() {
		for size := range resize { // until the connection or the session ends
			if size.Width == 0 || size.Height == 0 {
				continue
			}
			if err := set(size.Width, size.Height); err != nil && !errors.Is(err, os.ErrClosed) {
				log.L.WithError(err).Debug("resize a terminal")
			}
		}
	})
}

// debugLog is for what clients do wrong.
type debugLog struct{}

func (debugLog) Write(text []byte) (int, error) {
	log.L.Debugf("streaming server: %s", text)
	return len(text), nil
}
