// SPDX-License-Identifier: Apache-2.0

package throwaway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Daemon is a running daemon of one's own. The caller must Stop it.
type Daemon struct {
	Dir     string // temporary directory; Stop removes it
	Socket  string // of the containerd API
	PID     int
	StartUp time.Duration // from the clone to the first answered call

	cmd    *exec.Cmd
	began  time.Time
	exited chan struct{} // closed once the process was waited for
}

// readyTimeout bounds the wait for the first answer.
const readyTimeout = 20 * time.Second

// stopTimeout is what a daemon has to end after SIGTERM.
const stopTimeout = 10 * time.Second

// Start runs the binary and returns when it answers. extraPath, if not empty,
// goes before PATH: containerd looks there for its shim, and that for runc.
// On failure nothing is left and the error quotes the end of the daemon's log.
func Start(ctx context.Context, binary, extraPath string) (*Daemon, error) {
	return start(ctx, binary, extraPath, nil)
}

// StartCRI is Start of a daemon that serves CRI too.
func StartCRI(ctx context.Context, binary, extraPath string, cri CRI) (*Daemon, error) {
	return start(ctx, binary, extraPath, &cri)
}

func start(ctx context.Context, binary, extraPath string, cri *CRI) (*Daemon, error) {
	// Socket paths have at most 107 bytes, and shims put theirs elsewhere.
	dir, err := os.MkdirTemp("", "sardine-")
	if err != nil {
		return nil, err
	}
	d := &Daemon{Dir: dir, Socket: filepath.Join(dir, "run", "s"), exited: make(chan struct{})}
	if err := d.start(binary, extraPath, cri); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	if err := d.waitReady(ctx); err != nil {
		log := d.LogTail(10)
		return nil, errors.Join(fmt.Errorf("%s did not come up: %w; the end of its log:\n%s", binary, err, log), d.Stop())
	}
	return d, nil
}

func (d *Daemon) start(binary, extraPath string, cri *CRI) error {
	d.mountRun()
	config := filepath.Join(d.Dir, "config.toml")
	if err := os.WriteFile(config, d.config(d.mountBPF(), cri), 0o600); err != nil {
		return err
	}
	return d.run(binary, []string{"--config", config}, environment(os.Environ(), extraPath))
}

// run starts the process. What it logs goes after what was logged before.
func (d *Daemon) run(binary string, args, env []string) error {
	log, err := os.OpenFile(d.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command(binary, args...)
	d.cmd.Env = env
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// Not in the terminal's foreground group: Ctrl-C is for the caller, which
	// then stops the daemon in order.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.began = time.Now()
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", binary, err)
	}
	d.PID = d.cmd.Process.Pid
	go func(cmd *exec.Cmd, exited chan<- struct{}) {
		_ = cmd.Wait() // ends with the process; its status is in the log
		close(exited)
	}(d.cmd, d.exited)
	return nil
}

// Stop ends the daemon and removes its mounts and its directory. Containers
// must be gone before: they do not end with it. Safe to call twice.
func (d *Daemon) Stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(stopTimeout):
		_ = d.cmd.Process.Kill()
		<-d.exited
	}
	return d.remove()
}

func (d *Daemon) remove() error {
	if err := unmountBelow(d.Dir); err != nil {
		return err
	}
	return os.RemoveAll(d.Dir)
}

// LogTail returns the last lines the daemon logged.
func (d *Daemon) LogTail(lines int) string {
	log, err := os.ReadFile(d.logFile())
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

func (d *Daemon) logFile() string { return filepath.Join(d.Dir, "log") }

// environment drops what would tie the daemon to our own service manager.
func environment(env []string, extraPath string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "LISTEN_") || strings.HasPrefix(v, "WATCHDOG_")
	})
	if extraPath == "" {
		return env
	}
	return append(env, "PATH="+extraPath+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// waitReady polls: the socket appears when the daemon listens, and the health
// service answers when its plugins are there.
func (d *Daemon) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		if conn, err := net.Dial("unix", d.Socket); err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-d.exited:
			return fmt.Errorf("it ended (%s)", d.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("no answer in %s: %w", readyTimeout, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	if err := healthy(ctx, d.Socket); err != nil {
		return err
	}
	d.StartUp = time.Since(d.began)
	return nil
}

func healthy(ctx context.Context, socket string) error {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}
