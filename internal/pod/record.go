// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/network"
)

// Directories of Config.State and Config.Root. They must not be named "sandboxes" and "containers": containerd's own CRI server,
// which serves the handlers of shims beside us out of the same directories, removes from those what it does not know.
const (
	sandboxesDir  = "pods"
	containersDir = "pod-containers"
	layersDir     = "layers"
	trashDir      = "trash"
)

// Files in the directory that each sandbox and container has.
const (
	recordName     = "record.json"
	specName       = "config.json"
	hostsName      = "hosts"
	hostnameName   = "hostname"
	resolvConfName = "resolv.conf"
)

// sandboxRecord is what a later daemon needs to go on with a sandbox. It is written before
// anything is made, when the sandbox is ready, and when it begins to be stopped. One that is stopping and has no namespaces any more
// is stopped: they go last.
type sandboxRecord struct {
	Version int             `json:"version,omitempty"` // see version
	ID      string          `json:"id"`
	Handler string          `json:"handler"`
	Config  []byte          `json:"config"` // runtime.PodSandboxConfig
	Created time.Time       `json:"created"`
	Phase   phase           `json:"phase"`
	Network *network.Result `json:"network,omitempty"`
	Labels  seLabels        `json:"labels"`
	// Overhead and Resources are what the kubelet has told last, if it has.
	Overhead  []byte `json:"overhead,omitempty"`  // runtime.LinuxContainerResources
	Resources []byte `json:"resources,omitempty"` // the same
}

// containerRecord is the same for a container. It is written when it is created, before and after
// it is started, and when its process has ended. One that is exited and has a task is still to be cleared away.
type containerRecord struct {
	Version    int       `json:"version,omitempty"` // see version
	ID         string    `json:"id"`
	Sandbox    string    `json:"sandbox"`
	Config     []byte    `json:"config"` // runtime.ContainerConfig
	User       []byte    `json:"user,omitempty"`
	Image      imageUsed `json:"image"`
	StopSignal string    `json:"stopSignal,omitempty"`
	Volumes    []volume  `json:"volumes,omitempty"`
	// ProcessLabel is reserved for the container.
	ProcessLabel string `json:"processLabel,omitempty"`
	// Joined are the paths of the pod's namespaces in the spec.
	Joined  map[specs.LinuxNamespaceType]string `json:"joined,omitempty"`
	Created time.Time                           `json:"created"`
	Status  status                              `json:"status"`
}

// writeRecord puts v into the record of dir so that a reader sees the old content or the new
// one, also after a crash at any moment. No fsync: dir is on a tmpfs.
func writeRecord(dir string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return replaceFile(filepath.Join(dir, recordName), data)
}

// replaceFile puts data into the file path in the same way.
func replaceFile(path string, data []byte) error {
	temporary := path + ".new"
	err := os.WriteFile(temporary, data, 0o600)
	if err == nil {
		err = fault.Point(fault.RecordWritten)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("record: %w", err), ignoreMissing(os.Remove(temporary)))
	}
	return nil
}

// errUnreadable is of a record that is not there, or is not one.
var errUnreadable = errors.New("there is no record of it that can be read")

// version is what records have in this release. One without is of release 0.1.0, and is version 1 too.
const version = 1

// readRecord reads the record of dir, whose field for the version is given too. errUnreadable when there is none, or it was
// not written by us; ErrFailedPrecondition when a release that is not known here wrote it.
func readRecord(dir string, v any, found *int) error {
	path := filepath.Join(dir, recordName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	err = json.Unmarshal(data, v)
	if err != nil {
		*found = versionOf(data)
	}
	switch {
	case *found != 0 && *found != version:
		return fmt.Errorf("record %s has version %d, and this daemon knows version %d: start a release that knows it, "+
			"and have that one remove the pods first: %w", path, *found, version, errdefs.ErrFailedPrecondition)
	case err != nil:
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return nil
}

// versionOf is that of a record which may be no more like ours than this: 0 without.
func versionOf(data []byte) int {
	var r struct {
		Version int `json:"version"`
	}
	_ = json.Unmarshal(data, &r)
	return r.Version
}

// CheckRecords looks at the records in the state directory without changing anything: ErrFailedPrecondition when a release that
// is not known here wrote one of them.
func CheckRecords(state string) error {
	for _, kind := range []string{sandboxesDir, containersDir} {
		dir := filepath.Join(state, kind)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("pods: %w", err)
		}
		for _, e := range entries {
			if err := checkRecord(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("pods: %w", err)
			}
		}
	}
	return nil
}

// checkRecord reads no more than the beginning of a record if that will do.
func checkRecord(dir string) error {
	f, err := os.Open(filepath.Join(dir, recordName))
	if err != nil {
		return nil //nolint:nilerr // Load has its own way with that
	}
	defer f.Close()
	ours := fmt.Appendf(nil, `{"version":%d,`, version) // as encoding/json writes the first field
	beginning := make([]byte, len(ours))
	if _, err := f.ReadAt(beginning, 0); err == nil && bytes.Equal(beginning, ours) {
		return nil
	}
	var r struct {
		Version int `json:"version"`
	}
	if err := readRecord(dir, &r, &r.Version); err != nil && !errors.Is(err, errUnreadable) {
		return err
	}
	return nil
}

// decode reads a message out of a record.
func decode(data []byte, m proto.Message) error {
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Sandbox) dir() string   { return filepath.Join(s.manager.State, sandboxesDir, s.ID) }
func (c *Container) dir() string { return filepath.Join(c.manager.State, containersDir, c.ID) }

// save writes the sandbox's record. mu is held, or s not yet known to others.
func (s *Sandbox) save() error {
	return writeRecord(s.dir(), sandboxRecord{
		Version: version, ID: s.ID, Handler: s.HandlerName, Config: s.config, Created: s.Created, Phase: s.phase, Network: s.network,
		Labels: s.labels, Overhead: s.overhead, Resources: s.resources,
	})
}

// save writes the container's record. mu is held, or c not yet known to others.
func (c *Container) save() error {
	return writeRecord(c.dir(), containerRecord{
		Version: version, ID: c.ID, Sandbox: c.Sandbox.ID, Config: c.config, User: c.user, Image: c.image, StopSignal: c.stopSignal, Volumes: c.volumes,
		ProcessLabel: c.processLabel, Joined: c.joined, Created: c.Created, Status: c.status,
	})
}
