// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types/create"
)

// cache writes and reads libcni's cache of results: the files that libcni's own verbs, and earlier and later daemons, read.
type cache struct {
	dir string
}

// cachedResult is the content of a file, in libcni's form.
type cachedResult struct {
	Kind         string                     `json:"kind"`
	ContainerID  string                     `json:"containerId"`
	Config       []byte                     `json:"config"`
	IfName       string                     `json:"ifName"`
	NetworkName  string                     `json:"networkName"`
	NetNS        string                     `json:"netns,omitempty"`
	Args         [][2]string                `json:"cniArgs,omitempty"`
	Capabilities map[string]json.RawMessage `json:"capabilityArgs,omitempty"`
	Result       json.RawMessage            `json:"result,omitempty"`
}

func (c *cache) path(net *network, id string) string {
	return filepath.Join(c.dir, "results", net.list.Name+"-"+id+"-"+net.ifName)
}

func (c *cache) add(net *network, r *record, netns string, result []byte) error {
	text, err := json.Marshal(&cachedResult{
		Kind: libcni.CNICacheV1, ContainerID: r.ID, Config: net.list.Bytes, IfName: net.ifName, NetworkName: net.list.Name,
		NetNS: netns, Args: r.Args, Capabilities: r.Capabilities, Result: result,
	})
	if err == nil {
		err = c.write(c.path(net, r.ID), text)
	}
	if err != nil {
		return fmt.Errorf("failed to set network %q cached result: %w", net.list.Name, err)
	}
	return nil
}

// write makes the directory only when it is missing.
func (c *cache) write(path string, text []byte) error {
	err := os.WriteFile(path, text, 0o600)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// result is what ADD gave, nil when nothing is known of it. ok is false when the file is none that add wrote for this
// configuration: libcni knows older forms, converts versions, and what to do when nothing can be made of it.
func (c *cache) result(net *network, id string) (text []byte, ok bool) {
	content, err := os.ReadFile(c.path(net, id))
	if err != nil {
		return nil, errors.Is(err, os.ErrNotExist)
	}
	var cached cachedResult
	if err := json.Unmarshal(content, &cached); err != nil || cached.Kind != libcni.CNICacheV1 {
		return nil, false
	}
	var head struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal(cached.Result, &head); err != nil || head.CNIVersion != net.list.CNIVersion {
		return nil, false
	}
	if _, err := create.Create(head.CNIVersion, cached.Result); err != nil {
		return nil, false
	}
	if refuseNulls(cached.Result) != nil { // nobody could use it
		return nil, true
	}
	return cached.Result, true
}

func (c *cache) remove(net *network, id string) { os.Remove(c.path(net, id)) }
