// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"
)

// record says how to detach a sandbox. It is written before the first plugin runs and removed after
// the last DEL.
type record struct {
	Version      int                        `json:"version,omitempty"` // see recordVersion
	ID           string                     `json:"id"`
	Args         [][2]string                `json:"args,omitempty"`
	Capabilities map[string]json.RawMessage `json:"capabilities,omitempty"`
	Networks     []recordedNetwork          `json:"networks"`

	parsed []*network // of a record that was read
}

// recordVersion is what records have in this release. One without is of release 0.1.0, and is version 1 too.
const recordVersion = 1

type recordedNetwork struct {
	Interface string          `json:"interface"`
	Config    json.RawMessage `json:"config"` // the complete list of plugins
}

// parseRecord checks all that later code relies on.
func parseRecord(text []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	if err := utils.ValidateContainerID(r.ID); err != nil {
		return nil, err
	}
	if len(r.Networks) == 0 {
		return nil, errors.New("no networks")
	}
	var err error
	r.parsed, err = r.networks()
	return &r, err
}

// networks are in the order in which they were attached.
func (r *record) networks() ([]*network, error) {
	if r.parsed != nil {
		return r.parsed, nil
	}
	networks := make([]*network, len(r.Networks))
	for i, n := range r.Networks {
		if err := utils.ValidateInterfaceName(n.Interface); err != nil {
			return nil, err
		}
		list, err := parseList(n.Config)
		if err != nil {
			return nil, fmt.Errorf("network of %s: %w", n.Interface, err)
		}
		networks[i] = &network{list: list, ifName: n.Interface}
	}
	return networks, nil
}

// runtimeConf is what libcni wants to know beside the network.
func (r *record) runtimeConf(ifName, netns string) *libcni.RuntimeConf {
	conf := &libcni.RuntimeConf{ContainerID: r.ID, NetNS: netns, IfName: ifName, Args: r.Args}
	if len(r.Capabilities) > 0 {
		conf.CapabilityArgs = make(map[string]any, len(r.Capabilities))
		for name, value := range r.Capabilities {
			conf.CapabilityArgs[name] = value
		}
	}
	return conf
}

// CheckRecords looks at the records in the state directory without changing anything: ErrFailedPrecondition when a release that
// is not known here wrote one of them.
func CheckRecords(stateDir string) error { return storeIn(stateDir).check() }

// store keeps records in a directory: ID.json, and beside it ID.detach once it was tried in vain
// to detach. Nothing is synchronized: the directory is on tmpfs.
type store struct {
	dir string
}

const (
	recordSuffix = ".json"
	detachSuffix = ".detach"
	newSuffix    = ".new"
)

func storeIn(stateDir string) store { return store{dir: filepath.Join(stateDir, "attachments")} }

// check refuses records of a release that is not known.
func (s store) check() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("network records: %w: %w", err, errdefs.ErrInternal)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), recordSuffix) {
			if err := checkVersion(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkVersion reads no more than the beginning of a record if that will do. One that cannot be read is dealt with when it
// is needed.
func checkVersion(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	defer f.Close()
	ours := fmt.Appendf(nil, `{"version":%d,`, recordVersion) // as encoding/json writes the first field
	beginning := make([]byte, len(ours))
	if _, err := f.ReadAt(beginning, 0); err == nil && bytes.Equal(beginning, ours) {
		return nil
	}
	var r struct {
		Version int `json:"version"`
	}
	if err := json.NewDecoder(f).Decode(&r); err == nil && r.Version != 0 && r.Version != recordVersion {
		return fmt.Errorf("network record %s has version %d, and this daemon knows version %d: start a release that knows it, "+
			"and have that one remove the pods first: %w", path, r.Version, recordVersion, errdefs.ErrFailedPrecondition)
	}
	return nil
}

func (s store) has(id string) bool {
	_, err := os.Lstat(s.path(id, recordSuffix))
	return err == nil
}

func (s store) path(id, suffix string) string { return filepath.Join(s.dir, id+suffix) }

// create writes a new record. It is no harm when a crash leaves a part of it: no plugin ran
// then. ErrAlreadyExists.
func (s store) create(r *record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("network record of pod sandbox %s: %w: %w", r.ID, err, errdefs.ErrInternal)
	}
	f, err := os.OpenFile(s.path(r.ID, recordSuffix), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("pod sandbox %s is attached already: %w", r.ID, errdefs.ErrAlreadyExists)
	}
	if err != nil {
		return fmt.Errorf("network record of pod sandbox %s: %w: %w", r.ID, err, errdefs.ErrInternal)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("network record of pod sandbox %s: %w: %w", r.ID, err, errdefs.ErrInternal),
			os.Remove(f.Name()))
	}
	return nil
}

// replace writes a record anew, at once for every reader.
func (s store) replace(r *record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temporary := s.path(r.ID, newSuffix)
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, s.path(r.ID, recordSuffix))
}

// read returns the record of a sandbox. ErrNotFound when it has none.
func (s store) read(id string) (*record, error) {
	if err := utils.ValidateContainerID(id); err != nil {
		return nil, fmt.Errorf("pod sandbox %q: %w: %w", id, err, errdefs.ErrInvalidArgument)
	}
	text, err := os.ReadFile(s.path(id, recordSuffix))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pod sandbox %s has no network: %w", id, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("network record of pod sandbox %s: %w: %w", id, err, errdefs.ErrInternal)
	}
	r, err := parseRecord(text)
	if err == nil && r.ID != id {
		err = fmt.Errorf("is of %s", r.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("network record of pod sandbox %s: %w: %w", id, err, errdefs.ErrDataLoss)
	}
	return r, nil
}

// remove forgets a sandbox. The mark goes last, since a mark alone means nothing.
func (s store) remove(id string) error {
	for _, suffix := range []string{recordSuffix, detachSuffix} {
		if err := os.Remove(s.path(id, suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("network record of pod sandbox %s: %w: %w", id, err, errdefs.ErrInternal)
		}
	}
	return nil
}

// mark notes that a sandbox is to be detached whoever else wants to know of it.
func (s store) mark(id string) error {
	return os.WriteFile(s.path(id, detachSuffix), nil, 0o600)
}

// unmark drops a mark that has no record.
func (s store) unmark(id string) { os.Remove(s.path(id, detachSuffix)) }

// ids lists the recorded sandboxes.
func (s store) ids() ([]string, error) {
	names, err := s.list()
	return names[recordSuffix], err
}

// list sorts the ids of the directory's files by suffix.
func (s store) list() (map[string][]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("network records: %w: %w", err, errdefs.ErrInternal)
	}
	ids := map[string][]string{}
	for _, e := range entries {
		suffix := filepath.Ext(e.Name())
		ids[suffix] = append(ids[suffix], strings.TrimSuffix(e.Name(), suffix))
	}
	return ids, nil
}

// load removes what a crash left half-written, and lists the sandboxes that are marked.
func (s store) load() (marked []string, err error) {
	names, err := s.list()
	if err != nil {
		return nil, err
	}
	for _, id := range names[newSuffix] {
		os.Remove(s.path(id, newSuffix))
	}
	for _, id := range names[recordSuffix] {
		if utils.ValidateContainerID(id) != nil { // nobody could ever ask for it
			os.Remove(s.path(id, recordSuffix))
		}
	}
	for _, id := range names[detachSuffix] {
		if s.has(id) {
			marked = append(marked, id)
		} else {
			os.Remove(s.path(id, detachSuffix))
		}
	}
	return marked, nil
}
