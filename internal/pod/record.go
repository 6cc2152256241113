// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

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
// anything is made, when the sandbox is ready, and when it is stopped.
type sandboxRecord struct {
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
// it is started, when its process has ended and when nothing is left of that.
type containerRecord struct {
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
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("record: %w", err), ignoreMissing(os.Remove(temporary)))
	}
	return nil
}

// errUnreadable is of a record that is not there, or is not one.
var errUnreadable = errors.New("there is no record of it that can be read")

// readRecord reads the record of dir. errUnreadable when there is none, or it was not written by us.
func readRecord(dir string, v any) error {
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
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

// decodeResources returns nil for what is not recorded.
func decodeResources(data []byte) (*runtime.LinuxContainerResources, error) {
	if len(data) == 0 {
		return nil, nil
	}
	r := &runtime.LinuxContainerResources{}
	return r, decode(data, r)
}

func encodeResources(r *runtime.LinuxContainerResources) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	return proto.Marshal(r)
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
	r := sandboxRecord{ID: s.ID, Handler: s.HandlerName, Created: s.Created, Phase: s.phase, Network: s.network, Labels: s.labels}
	var errs [3]error
	r.Config, errs[0] = proto.Marshal(s.Config)
	r.Overhead, errs[1] = encodeResources(s.overhead)
	r.Resources, errs[2] = encodeResources(s.resources)
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("record of pod sandbox %s: %w", s.ID, err)
	}
	return writeRecord(s.dir(), r)
}

// save writes the container's record. mu is held, or c not yet known to others.
func (c *Container) save() error {
	config, err := proto.Marshal(c.Config)
	if err != nil {
		return fmt.Errorf("record of container %s: %w", c.ID, err)
	}
	r := containerRecord{
		ID: c.ID, Sandbox: c.Sandbox.ID, Config: config, Image: c.image, StopSignal: c.stopSignal, Volumes: c.volumes,
		ProcessLabel: c.processLabel, Joined: c.joined, Created: c.Created, Status: c.status,
	}
	if c.user != nil {
		if r.User, err = proto.Marshal(c.user); err != nil {
			return fmt.Errorf("record of container %s: %w", c.ID, err)
		}
	}
	return writeRecord(c.dir(), r)
}

func decodeUser(data []byte) (*runtime.ContainerUser, error) {
	if len(data) == 0 {
		return nil, nil
	}
	user := &runtime.ContainerUser{}
	return user, decode(data, user)
}
