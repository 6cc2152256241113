// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/podstats"
	"github.com/sardine-run/sardine/internal/stdio"
)

// State is where a container is in its life. CRI knows no more than this:
//
//	created ──▶ starting ──▶ running ──▶ exited
//	               │                       ▲
//	               └───────────────────────┘
//
// It has a process from starting on.
type State string

// The states.
const (
	Created  State = "created"
	Starting State = "starting" // CRI's CREATED
	Running  State = "running"
	Exited   State = "exited"
)

// Reasons of an exit, as the kubelet shows them.
const (
	reasonCompleted   = "Completed"
	reasonError       = "Error"
	reasonOOMKilled   = "OOMKilled"
	reasonCannotRun   = "ContainerCannotRun"
	reasonUnknown     = "Unknown"
	exitCannotRun     = 128
	exitUnknown       = 255
	messageLostRecord = "the container ended while no daemon ran, and its exit code is not known"
)

// Container is a container of a pod. Its exported fields do not change; its methods may be called
// concurrently.
type Container struct {
	ID      string
	Sandbox *Sandbox
	Created time.Time

	// What lists tell of the configuration.
	Metadata            *runtime.ContainerMetadata
	Image               *runtime.ImageSpec
	Labels, Annotations map[string]string

	// History is podstats' own.
	History podstats.History

	manager               *Manager
	image                 imageUsed
	view                  image.View
	user                  []byte // runtime.ContainerUser
	stopSignal            string
	volumes               []volume
	config                []byte // runtime.ContainerConfig
	logName               string // of the log file in the pod's log directory, "" for none
	tty, stdin, stdinOnce bool
	// processLabel is reserved for the container, "" without SELinux.
	processLabel string

	// volumeViews are the images mounted as volumes, in the order of the config, held until the container is
	// removed. nil is one that a later daemon did not find.
	volumeViews []image.View
	// joined are the paths of the pod's namespaces in the spec: they are others when it is started by a later daemon.
	joined map[specs.LinuxNamespaceType]string

	// op serializes start, the note of the end, and removal.
	op lock

	// limits serializes changes of the limits.
	limits sync.Mutex

	mu        sync.Mutex // guards what follows
	status    status
	removing  bool        // it is not started any more
	removed   bool        // nothing is left of it
	signalled bool        // it was sent its stop signal
	spec      *specs.Spec // until it is started
	task      *container.Container
	log       podlog.Log
	ended     chan struct{}         // closed when the container is exited; nil before it is started
	resources []byte                // runtime.LinuxContainerResources, nil until somebody has asked for them
	pending   *specs.LinuxResources // limits that were set while the container was being started
}

// configure takes what is needed of the configuration, which message has as bytes.
func (c *Container) configure(cfg *runtime.ContainerConfig, message []byte) {
	c.config, c.Metadata, c.Image, c.logName = message, cfg.Metadata, cfg.Image, cfg.LogPath
	c.Labels, c.Annotations = shareKeys(cfg.Labels), shareKeys(cfg.Annotations)
	c.tty, c.stdin, c.stdinOnce = cfg.Tty, cfg.Stdin, cfg.StdinOnce
}

// Config is the configuration, decoded anew: the caller may do with it what it likes.
func (c *Container) Config() *runtime.ContainerConfig {
	return unpacked[runtime.ContainerConfig](c.config)
}

// User is the one its program was started as.
func (c *Container) User() *runtime.ContainerUser {
	if c.user == nil {
		return nil
	}
	return unpacked[runtime.ContainerUser](c.user)
}

// imageUsed is the image of a container.
type imageUsed struct {
	ID          string `json:"id"`  // of the image
	Ref         string `json:"ref"` // NAME@DIGEST, or the id when it has no such name
	Name        string `json:"name"`
	Snapshotter string `json:"snapshotter,omitempty"`
	// Volumes are the ids of the images that are mounted as volumes, in the order of the config.
	Volumes []string `json:"volumes,omitempty"`
}

// shared has its strings in memory once for all containers of the image.
func (i imageUsed) shared() imageUsed {
	i.ID, i.Ref, i.Name, i.Snapshotter = share(i.ID), share(i.Ref), share(i.Name), share(i.Snapshotter)
	return i
}

// volume is one that the image declares.
type volume struct {
	Path string `json:"path"` // in the container
}

// status is what changes of a container's record. How the container ended is noted before it is Exited: what is
// left of it must be cleared away first.
type status struct {
	State    State     `json:"state"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	ExitCode int32     `json:"exitCode"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
}

// ContainerStatus is a container at one moment.
type ContainerStatus struct {
	State      State
	Started    time.Time // zero before
	Finished   time.Time
	ExitCode   int32
	Reason     string
	Message    string
	ImageID    string
	ImageRef   string
	ImageName  string
	StopSignal string
	LogPath    string
	Pid        int // 0 unless it runs
}

// Status of the container.
func (c *Container) Status() ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := ContainerStatus{
		State: c.status.State, Started: c.status.Started, ImageID: c.image.ID, ImageRef: c.image.Ref, ImageName: c.image.Name,
		StopSignal: c.stopSignal, LogPath: c.logPath(),
	}
	switch c.status.State {
	case Running:
		if c.task != nil {
			s.Pid = c.task.Pid()
		}
	case Exited:
		s.Finished, s.ExitCode, s.Reason, s.Message = c.status.Finished, c.status.ExitCode, c.status.Reason, c.status.Message
	case Created, Starting:
	}
	return s
}

// Task is the running container; ErrFailedPrecondition when it does not run.
func (c *Container) Task() (*container.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State != Running || c.task == nil {
		return nil, unready("container %s is %s", c.ID, c.status.State)
	}
	return c.task, nil
}

// Log is the output of a running container, nil when it does not run.
func (c *Container) Log() podlog.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log
}

// ReopenLog starts a new log file. ErrFailedPrecondition when the container does not run.
func (c *Container) ReopenLog() error {
	if _, err := c.Task(); err != nil {
		return err
	}
	l := c.Log()
	if l == nil {
		return unready("container %s has no log", c.ID)
	}
	return l.Reopen()
}

// Stdin is the FIFO that is the container's standard input, "" without.
func (c *Container) Stdin() string { return c.streams().Stdin }

// WritableLayer is the directory with what the container has written.
func (c *Container) WritableLayer() string { return c.manager.layers.of(c.ID).upper() }

// logPath is "" when the client wants no log.
func (c *Container) logPath() string {
	dir := c.Sandbox.logDirectory
	if dir == "" || c.logName == "" {
		return ""
	}
	return filepath.Join(dir, c.logName)
}

// checkLogPath refuses to write a log outside of the pod's log directory.
func checkLogPath(path string) error {
	if path == "" || filepath.IsLocal(path) {
		return nil
	}
	return invalid("log_path %q: it is not inside of the pod's log directory", shorten(path))
}

// streams are the container's FIFOs.
func (c *Container) streams() stdio.Config {
	cfg := stdio.Config{Terminal: c.tty, Stdout: filepath.Join(c.dir(), "stdout")}
	if !c.tty {
		cfg.Stderr = filepath.Join(c.dir(), "stderr")
	}
	if c.stdin {
		cfg.Stdin = filepath.Join(c.dir(), "stdin")
	}
	return cfg
}

// containerName is unique among the containers of the node: the pod is part of it.
func containerName(m *runtime.ContainerMetadata, s *Sandbox) string {
	pod := s.Metadata
	return joinName(m.GetName(), pod.GetName(), pod.GetNamespace(), pod.GetUid(), fmt.Sprint(pod.GetAttempt()), fmt.Sprint(m.GetAttempt()))
}

func (c *Container) closeLog() {
	c.mu.Lock()
	l := c.log
	c.log = nil
	c.mu.Unlock()
	if l != nil {
		l.Close()
	}
}
