// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// logTail is how much of the daemon's log a failed test shows, in bytes.
const logTail = 8 << 10

// Daemon is a private daemon: sardined, or one it is compared with.
type Daemon struct {
	// Dir is the daemon's own directory, short enough for socket paths. Root,
	// State and the sockets lie in it.
	Dir     string
	Root    string
	State   string
	Address string // of the gRPC socket
	Config  string // path of its configuration file
	// Namespace is the containerd namespace tests use, unlike any other on the
	// node; ctr puts containers in the cgroup of this name.
	Namespace string
	// Runtime is the runtime name of containers made with Run.
	Runtime string

	t        testing.TB
	settings settings
	bpf      string // directory of pinned eBPF objects, "none" for none
	log      *os.File
	cmd      *exec.Cmd
	exited   chan struct{} // closed once cmd is reaped
	client   *containerd.Client
	fresh    *testnode.Snapshot // just after the first start
}

// settings are what options change.
type settings struct {
	program string
	config  string
	env     []string
	runtime string
	ignore  func(testnode.Leak) bool
	root    string
	cri     bool
	stock   string
	noBPF   bool
	place   *Place
}

// Option changes how a daemon is started.
type Option func(*settings)

// WithProgram runs another program than sardined, "containerd" for example.
func WithProgram(name string) Option { return func(s *settings) { s.program = name } }

// WithConfig adds TOML at the end of the generated configuration file.
func WithConfig(toml string) Option { return func(s *settings) { s.config += toml + "\n" } }

// WithEnv adds NAME=value pairs to the daemon's environment.
func WithEnv(env ...string) Option { return func(s *settings) { s.env = append(s.env, env...) } }

// WithRuntime sets the runtime name of containers made with Run.
func WithRuntime(name string) Option { return func(s *settings) { s.runtime = name } }

// WithLeaksIgnored exempts what the daemon is known to leave on the node.
func WithLeaksIgnored(ignore func(testnode.Leak) bool) Option {
	return func(s *settings) { s.ignore = ignore }
}

// WithRoot puts the daemon's root elsewhere, on a file system of its own for example.
func WithRoot(dir string) Option { return func(s *settings) { s.root = dir } }

// WithCRI has the daemon serve CRI too.
func WithCRI() Option { return func(s *settings) { s.cri = true } }

// WithStockRunc says whose containers of the runtime name io.containerd.runc.v2 are: "shim" for the stock
// shim's.
func WithStockRunc(whose string) Option { return func(s *settings) { s.stock = whose } }

// WithoutBPF has the daemon do without the recorder of exits.
func WithoutBPF() Option { return func(s *settings) { s.noBPF = true } }

// In runs the daemon in a place.
func In(place *Place) Option { return func(s *settings) { s.place = place } }

// daemons numbers the daemons of this process, to name what is theirs.
var daemons atomic.Int64

// StartDaemon starts a daemon for one test. When the test ends the daemon must
// have no more files and descriptors than after its start, and once it is
// stopped the node must be as before. It skips the test without root.
func StartDaemon(t testing.TB, options ...Option) *Daemon {
	t.Helper()
	d := newDaemon(t, options...)
	d.mountBPF()
	testnode.CheckClean(t, d.leakOptions())
	d.writeConfig()
	t.Cleanup(d.sweep)
	t.Cleanup(d.finish)
	d.Start()
	d.baseline()
	return d
}

func newDaemon(t testing.TB, options ...Option) *Daemon {
	t.Helper()
	testnode.NeedRoot(t)
	dir, err := os.MkdirTemp("/tmp", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{
		Dir:       dir,
		Root:      filepath.Join(dir, "root"),
		State:     filepath.Join(dir, "state"),
		Address:   filepath.Join(dir, "d.sock"),
		Config:    filepath.Join(dir, "config.toml"),
		Namespace: fmt.Sprintf("e2e-%d-%d", os.Getpid(), daemons.Add(1)),
		t:         t,
		settings:  settings{program: "sardined", runtime: DefaultRuntime(), stock: "auto"},
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, option := range options {
		option(&d.settings)
	}
	d.Runtime = d.settings.runtime
	if d.settings.root != "" {
		d.Root = d.settings.root
	}
	return d
}

// leakOptions say what of the node is this daemon's. In CI nothing else runs,
// and whatever is new counts.
func (d *Daemon) leakOptions() testnode.Options {
	return testnode.Options{
		Dirs:       []string{d.Dir},
		Cgroups:    []string{"/" + d.Namespace},
		Daemon:     d.PID,
		Everything: os.Getenv("CI") == "true",
		Ignore: func(l testnode.Leak) bool {
			return d.settings.ignore != nil && d.settings.ignore(l)
		},
	}
}

// mountBPF gives the daemon a file system for pinned eBPF objects of its own,
// which takes them along when it is unmounted. Without it, or if the kernel has
// none, what the daemon pins would outlive the test.
func (d *Daemon) mountBPF() {
	d.t.Helper()
	if d.settings.noBPF {
		d.bpf = "none"
		return
	}
	d.bpf = filepath.Join(d.Dir, "bpf")
	if err := os.Mkdir(d.bpf, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := unix.Mount("bpf", d.bpf, "bpf", 0, ""); err != nil {
		d.t.Logf("no bpffs, no recorder of exits: %v", err)
		d.bpf = "none"
		return
	}
	d.t.Cleanup(func() { _ = unix.Unmount(filepath.Join(d.Dir, "bpf"), unix.MNT_DETACH) })
}

func (d *Daemon) writeConfig() {
	d.t.Helper()
	disabled := `"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"`
	if d.settings.cri {
		disabled = ""
	}
	config := fmt.Sprintf(`version = 4
root = %q
state = %q
imports = []
disabled_plugins = [%s]
[debug]
level = "debug"
[plugins."io.containerd.server.v1.grpc"]
address = %q
[plugins."io.containerd.server.v1.ttrpc"]
address = %q
[plugins."io.containerd.nri.v1.nri"]
socket_path = %q
plugin_path = %q
plugin_config_path = %q
[plugins."io.containerd.shim.v1.manager"]
socket_dir = %q
[plugins."io.containerd.internal.v1.opt"]
path = %q
[plugins."io.containerd.runtime.v2.task".sardine]
bpf_dir = %q
stock_runc = %q
`, d.Root, d.State, disabled, d.Address, d.Address+".ttrpc", d.Dir+"/nri.sock", d.Dir+"/nri", d.Dir+"/nri.d", d.Dir+"/s", d.Dir+"/opt", d.bpf, d.settings.stock)
	if err := os.WriteFile(d.Config, []byte(config+d.settings.config), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// Start starts the daemon on its directories and waits until it accepts
// connections.
func (d *Daemon) Start() {
	d.t.Helper()
	if err := d.launch(); err != nil {
		d.t.Fatal(err)
	}
	if err := d.waitServing(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *Daemon) launch() error {
	log, err := os.OpenFile(filepath.Join(d.Dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d.log = log
	d.cmd = exec.Command(Program(d.t, d.settings.program), "--config", d.Config)
	d.cmd.Env = append(environment(), d.settings.env...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	d.exited = make(chan struct{})
	started := make(chan error)
	go own(d.cmd, d.settings.place, started, d.exited)
	return <-started
}

var errExited = errors.New("the daemon exited")

func (d *Daemon) waitServing() error {
	deadline := time.Now().Add(testnode.Patience)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("unix", d.Address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-d.exited:
			return fmt.Errorf("%w: %v", errExited, d.cmd.ProcessState)
		case <-time.After(time.Millisecond):
		}
	}
	return fmt.Errorf("no answer on %s within %v", d.Address, testnode.Patience)
}

// PID returns the daemon's process id, 0 while it does not run.
func (d *Daemon) PID() int {
	if !d.Running() {
		return 0
	}
	return d.cmd.Process.Pid
}

// Running tells whether the daemon has been started and has not exited.
func (d *Daemon) Running() bool {
	if d.cmd == nil || d.cmd.Process == nil {
		return false
	}
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// Kill9 kills the daemon, and it alone, as a crash would.
func (d *Daemon) Kill9() {
	d.t.Helper()
	d.signal(syscall.SIGKILL)
}

// Stop asks the daemon to end, and fails the test if it takes too long.
func (d *Daemon) Stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
}

// Restart stops the daemon and starts it again on the same directories.
func (d *Daemon) Restart() {
	d.t.Helper()
	d.Stop()
	d.Start()
}

func (d *Daemon) signal(sig syscall.Signal) {
	d.t.Helper()
	d.closeClient()
	if !d.Running() {
		return
	}
	_ = d.cmd.Process.Signal(sig)
	select {
	case <-d.exited:
	case <-time.After(testnode.Patience):
		_ = d.cmd.Process.Kill()
		<-d.exited
		d.t.Errorf("the daemon did not end within %v of %v", testnode.Patience, sig)
	}
	d.log.Close()
}

// Client returns a client of the daemon, the same one until the daemon stops.
func (d *Daemon) Client() *containerd.Client {
	d.t.Helper()
	if d.client == nil {
		client, err := containerd.New(d.Address, containerd.WithDefaultNamespace(d.Namespace), containerd.WithDefaultRuntime(d.Runtime))
		if err != nil {
			d.t.Fatalf("connect to the daemon: %v", err)
		}
		d.client = client
	}
	return d.client
}

func (d *Daemon) closeClient() {
	if d.client != nil {
		d.client.Close()
		d.client = nil
	}
}

// Context returns the test's context with the daemon's namespace.
func (d *Daemon) Context() context.Context {
	return namespaces.WithNamespace(d.t.Context(), d.Namespace)
}

// Log returns what the daemons of this directory have logged so far.
func (d *Daemon) Log() string {
	data, _ := os.ReadFile(filepath.Join(d.Dir, "log"))
	return string(data)
}

func (d *Daemon) logTail() string {
	log := d.Log()
	if len(log) <= logTail {
		return log
	}
	_, tail, _ := strings.Cut(log[len(log)-logTail:], "\n")
	return "[...]\n" + tail
}
