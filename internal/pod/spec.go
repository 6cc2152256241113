// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/podspec"
)

// writeSpec keeps the spec for a later daemon, in case this one ends before the container is started.
func (c *Container) writeSpec(spec *specs.Spec) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("spec of container %s: %w", c.ID, err)
	}
	return replaceFile(filepath.Join(c.dir(), specName), text)
}

// SpecText is the OCI runtime spec of the container as JSON.
func (c *Container) SpecText() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(c.dir(), specName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, notFound("spec of container %s: %w", c.ID, err)
	}
	if err != nil {
		return nil, fmt.Errorf("spec of container %s: %w", c.ID, err)
	}
	return text, nil
}

// readSpec returns the spec, and its JSON.
func (c *Container) readSpec() (*specs.Spec, []byte, error) {
	text, err := c.SpecText()
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	spec := c.spec
	c.mu.Unlock()
	if spec == nil {
		spec = &specs.Spec{}
		if err := json.Unmarshal(text, spec); err != nil {
			return nil, nil, fmt.Errorf("spec of container %s: %w", c.ID, err)
		}
	}
	return spec, text, nil
}

// rejoin has the spec name the namespaces of the pod as they are named now: a later daemon holds them by
// other descriptors, and the pid of a target may be another's by now. What NRI plugins have put in their place
// stays. Returned is the spec with its JSON.
func (c *Container) rejoin(spec *specs.Spec, text []byte) (*specs.Spec, []byte, error) {
	now := c.Sandbox.Namespaces()
	target, err := c.targetPID(c.Config())
	if err != nil {
		return nil, nil, err
	}
	if target != "" {
		now[specs.PIDNamespace] = target
	}
	changed := *spec
	if !c.renamed(now) || spec.Linux == nil {
		return spec, text, nil
	}
	linux := *spec.Linux
	linux.Namespaces = nil
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path != "" && ns.Path == c.joined[ns.Type] {
			if ns.Path = now[ns.Type]; ns.Path == "" {
				return nil, nil, unready("the %s namespace of pod sandbox %s is gone", ns.Type, c.Sandbox.ID)
			}
		}
		linux.Namespaces = append(linux.Namespaces, ns)
	}
	changed.Linux = &linux
	text, err = json.Marshal(&changed)
	if err != nil {
		return nil, nil, fmt.Errorf("spec of container %s: %w", c.ID, err)
	}
	return &changed, text, nil
}

// renamed reports whether a namespace that the spec joins has another path now.
func (c *Container) renamed(now map[specs.LinuxNamespaceType]string) bool {
	for kind, path := range c.joined {
		if now[kind] != path {
			return true
		}
	}
	return false
}

// noteResources keeps what the kubelet is told of the limits in spec. mu is held, or c not yet known to others.
func (c *Container) noteResources(spec *specs.Spec) (err error) {
	c.resources, err = pack(podspec.StatusResources(spec).Linux)
	return err
}

// Resources are the limits of the container: those of its spec.
func (c *Container) Resources() *runtime.LinuxContainerResources {
	c.mu.Lock()
	noted := c.resources
	c.mu.Unlock()
	if noted != nil {
		return unpacked[runtime.LinuxContainerResources](noted)
	}
	spec, _, err := c.readSpec()
	if err != nil { // it is being removed
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resources == nil { // nobody has changed them meanwhile
		if err := c.noteResources(spec); err != nil {
			return nil
		}
	}
	return unpacked[runtime.LinuxContainerResources](c.resources)
}
