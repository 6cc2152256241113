// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
)

// record is what the daemon writes down before plugins run (internal/network).
type record struct {
	ID       string `json:"id"`
	Networks []struct {
		Interface string          `json:"interface"`
		Config    json.RawMessage `json:"config"`
	} `json:"networks"`

	waiting bool // to be detached
}

// records are the daemon's, by pod. One that is just being written has no networks.
func (o *Options) readRecords() (map[string]*record, error) {
	entries, err := os.ReadDir(o.records())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("network records: %w", err)
	}
	found := map[string]*record{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		r := &record{}
		if text, err := os.ReadFile(filepath.Join(o.records(), e.Name())); err != nil || json.Unmarshal(text, r) != nil {
			r = &record{}
		}
		r.ID = id
		_, err := os.Lstat(filepath.Join(o.records(), id+".detach"))
		r.waiting = err == nil
		found[id] = r
	}
	return found, nil
}

// result is one of libcni's, of a pod and an interface.
type result struct {
	path string

	Kind           string         `json:"kind"`
	ContainerID    string         `json:"containerId"`
	Config         []byte         `json:"config"`
	IfName         string         `json:"ifName"`
	NetworkName    string         `json:"networkName"`
	NetNS          string         `json:"netns"`
	CapabilityArgs map[string]any `json:"capabilityArgs"`

	RawResult json.RawMessage `json:"result"`
}

// readResults are those of a cache directory. What is no result, or is just being written, is passed over.
func readResults(dir string) ([]*result, error) {
	dir = filepath.Join(dir, "results")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("results of plugins: %w", err)
	}
	var found []*result
	for _, e := range entries {
		r := &result{path: filepath.Join(dir, e.Name())}
		text, err := os.ReadFile(r.path)
		if err == nil && json.Unmarshal(text, r) == nil && r.Kind == libcni.CNICacheV1 && r.ContainerID != "" {
			found = append(found, r)
		}
	}
	return found, nil
}

// parsed is the result in today's form, nil when it is none.
func (r *result) parsed() *types100.Result {
	var version struct {
		CNIVersion string `json:"cniVersion"`
	}
	if json.Unmarshal(r.RawResult, &version) != nil {
		return nil
	}
	made, err := create.Create(version.CNIVersion, r.RawResult)
	if err != nil {
		return nil
	}
	current, err := types100.NewResultFromResult(made)
	if err != nil {
		return nil
	}
	return current
}

// hostInterfaces are the names of those that the plugins made outside of the pod.
func (r *result) hostInterfaces() (names []string) {
	if p := r.parsed(); p != nil {
		for _, i := range p.Interfaces {
			if i != nil && i.Sandbox == "" {
				names = append(names, i.Name)
			}
		}
	}
	return names
}
