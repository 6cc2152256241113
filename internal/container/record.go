// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/stdio"
)

// Files in a container's directory.
const (
	recordName = "record.json"
	configName = "config.json"
	execPrefix = "exec-"
)

// version of the records. A daemon reads those that it knows and refuses to start when there
// are others. Release 0.1.0 wrote version 1 without saying so.
const version = 1

// record is what a later daemon needs to go on with a container. It is written before the
// cgroup is made, without a process; when the container is created; before its process is
// told to start, if it waits; when its input is closed; and when it has ended.
type record struct {
	Version      int            `json:"version"`
	Namespace    string         `json:"namespace"`
	ID           string         `json:"id"`
	Cgroup       cgroup.Record  `json:"cgroup"`
	Process      exits.Identity `json:"process"` // zero: creation was not completed
	Stdio        stdio.Config   `json:"stdio"`
	StdinClosed  bool           `json:"stdinClosed,omitempty"`
	Waits        bool           `json:"waits,omitempty"` // for Start, which it was not told; its control socket is kept
	NoNewKeyring bool           `json:"noNewKeyring,omitempty"`
	SharedPID    bool           `json:"sharedPID,omitempty"`
	PostStart    bool           `json:"poststart,omitempty"`
	PostStop     bool           `json:"poststop,omitempty"`
	Created      time.Time      `json:"created"`
	Exit         *Exit          `json:"exit,omitempty"`
}

// execRecord is the same for an executed process. It is written before it is told to start.
type execRecord struct {
	Version     int            `json:"version"`
	ID          string         `json:"id"`
	Process     exits.Identity `json:"process"`
	Stdio       stdio.Config   `json:"stdio"`
	StdinClosed bool           `json:"stdinClosed,omitempty"`
	Session     bool           `json:"session,omitempty"` // of a client that is gone when the daemon is: stdio.Config.Files
	Exit        *Exit          `json:"exit,omitempty"`
}

// writeFile puts v into the file name of dir so that a reader sees the old content or the
// new one, also after a crash at any moment. No fsync: dir is on a tmpfs.
func writeFile(dir, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	path := filepath.Join(dir, name)
	temporary := filepath.Join(dir, "."+name)
	if err = os.WriteFile(temporary, data, 0o600); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("record: %w", err), ignoreMissing(os.Remove(temporary)))
	}
	return nil
}

// writeFileOnce is writeFile for a file that is not there yet, and that is as good as none when a
// crash leaves half of it.
func writeFileOnce(dir, name string, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

func readFile(dir, name string, v any) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

// errVersion is the class of a record that this daemon does not know how to read.
var errVersion = errors.New("unknown version of a record")

// readRecord is readFile for what has a version. The version is looked at by itself: fields of
// another one may look like nothing that can be read.
func readRecord(dir, name string, v any) error {
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	var found struct {
		Version json.RawMessage `json:"version"`
	}
	if err = json.Unmarshal(data, &found); err == nil {
		if text := string(found.Version); text != "" && text != strconv.Itoa(version) {
			return fmt.Errorf("%s has version %s, and this release of Sardine knows version %d: "+
				"start the release that wrote it, and remove its containers with that one first: %w: %w",
				path, text, version, errVersion, errdefs.ErrFailedPrecondition)
		}
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// readSpec reads the spec again; it is not kept in memory.
func (c *Container) readSpec() (*specs.Spec, error) {
	var spec specs.Spec
	if err := readFile(c.manager.dir(c.key), configName, &spec); err != nil {
		return nil, fmt.Errorf("container %s: %w", c.key, err)
	}
	return &spec, nil
}
