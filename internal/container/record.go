// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// record is what a later daemon needs to go on with a container. It is written before the
// cgroup is made, without a process; when the container is created; and when it has ended.
type record struct {
	Namespace    string         `json:"namespace"`
	ID           string         `json:"id"`
	Cgroup       cgroup.Record  `json:"cgroup"`
	Process      exits.Identity `json:"process"` // zero: creation was not completed
	Stdio        stdio.Config   `json:"stdio"`
	NoNewKeyring bool           `json:"noNewKeyring,omitempty"`
	SharedPID    bool           `json:"sharedPID,omitempty"`
	PostStart    bool           `json:"poststart,omitempty"`
	PostStop     bool           `json:"poststop,omitempty"`
	Created      time.Time      `json:"created"`
	Exit         *Exit          `json:"exit,omitempty"`
}

// execRecord is the same for an executed process. It is written when it is born.
type execRecord struct {
	ID      string         `json:"id"`
	Process exits.Identity `json:"process"`
	Stdio   stdio.Config   `json:"stdio"`
	Exit    *Exit          `json:"exit,omitempty"`
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
